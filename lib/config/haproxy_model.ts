/**
 * What a haproxy.cfg says, as plain data: the reader (haproxy_read.ts) fills it in, the proxy mode runs it. COLD.
 * Times are milliseconds, 0 meaning "never" as in HAProxy; null means "not set". Leaves out everything that only a running proxy knows.
 */

import { newHttpCheck, type HttpCheckConfig } from "./haproxy_http_check.ts";
import { newStats, type HttpRule, type StatsConfig } from "./haproxy_http.ts";

/** Where a statement stands; both are printed in messages. */
export interface Place {
  file: string;
  line: number;
}

/** One target of a `log` line. */
export interface LogTargetConfig {
  /** udp: host and port; unix: path; fd: number (stdout 1, stderr 2); ring: its name in path; none: accepted but nothing can be sent there (tcp). */
  kind: "udp" | "unix" | "fd" | "ring" | "none";
  host: string;
  port: number;
  path: string;
  fd: number;
  /** The address as it was written. */
  text: string;
  /** null: rfc3164 for sockets, raw for descriptors. */
  format: "local" | "rfc3164" | "rfc5424" | "priority" | "short" | "timed" | "iso" | "raw" | null;
  lengthMax: number;
  /** 0-23. */
  facility: number;
  /** 0 emerg - 7 debug: the least severe level that is sent. */
  maxLevel: number;
  /** Levels more severe than this one are sent as this one. */
  minLevel: number;
}

/** One address of a `bind` line. */
export interface BindConfig extends Place {
  /** "" is every IPv4 address, "::" every address. */
  host: string;
  port: number;
  /** A unix socket's path or an abstract name (leading NUL), else "". */
  path: string;
  /** An inherited descriptor, else -1. */
  fd: number;
  /** The address list as written, for messages. */
  text: string;
  name: string;
  maxconn: number;
  acceptProxy: boolean;
  ssl: boolean;
  /** Words that are kept for the TLS set-up: crt, ca-file, verify, alpn, ... */
  tls: Record<string, string[]>;
  mode: number | null;
  user: string;
  group: string;
  level: "user" | "operator" | "admin";
  v4v6: boolean;
  v6only: boolean;
  /** `expose-fd listeners`. */
  id: number;
}

export interface ServerOptions {
  check: boolean;
  interMs: number;
  /** 0: as inter. */
  fastinterMs: number;
  downinterMs: number;
  rise: number;
  fall: number;
  backup: boolean;
  weight: number;
  maxconn: number;
  minconn: number;
  maxqueue: number;
  slowstartMs: number;
  shutdownOnDown: boolean;
  shutdownBackupOnUp: boolean;
  /** HAProxy 3.1's word; "" leaves the choice to the proxy (down in front of role checks, else up). */
  initState: "" | "none" | "fully-up" | "up" | "down" | "fully-down";
  checkPort: number;
  checkHost: string;
  disabled: boolean;
  track: string;
  sendProxy: 0 | 1 | 2;
  checkSendProxy: boolean;
  checkSsl: boolean;
  ssl: boolean;
  tls: Record<string, string[]>;
  observe: "" | "layer4" | "layer7";
  errorLimit: number;
  onError: "fail-check" | "fastinter" | "sudden-death" | "mark-down";
  resolvers: string;
  initAddr: string;
  resolvePrefer: "ipv4" | "ipv6";
  /** resolve-opts ignore-weight. */
  ignoresDnsWeight: boolean;
  sourceHost: string;
  sourcePort: number;
  cookie: string;
  id: number;
  agentCheck: boolean;
  agentHost: string;
  agentPort: number;
  agentInterMs: number;
  agentSend: string;
}

export interface ServerConfig extends ServerOptions, Place {
  name: string;
  /** Address or host name; "" stands for the address that the client connected to. */
  host: string;
  port: number;
  /** A port written as +n or -n, or left out, is relative to the client's. */
  portIsOffset: boolean;
  path: string;
  /** The host name that `host` was looked up from, "" when it was written as an address. */
  dnsName: string;
  /** Its name has no address yet (init-addr none). */
  unresolved: boolean;
}

export interface TcpCheckConnect extends Place {
  kind: "connect";
  useDefault: boolean;
  port: number;
  host: string;
  ssl: boolean;
  sni: string;
  alpn: string;
  sendProxy: boolean;
  linger: boolean;
  comment: string;
  /** Put in by the reader because the rules do not begin with a connect. */
  implicit: boolean;
}
export interface TcpCheckSend extends Place {
  kind: "send";
  form: "string" | "binary";
  /** A latin1 string: one char a byte. */
  data: string;
  comment: string;
}
export interface TcpCheckExpect extends Place {
  kind: "expect";
  form: "string" | "rstring" | "binary" | "rbinary" | "string-lf" | "binary-lf";
  /** As written (messages show it). */
  text: string;
  /** Bytes to look for (string, binary). */
  bytes: string;
  regex: RegExp | null;
  inverse: boolean;
  /** -1: not given. */
  minRecv: number;
  okStatus: CheckStatus;
  errorStatus: CheckStatus;
  toutStatus: CheckStatus;
  onSuccess: string;
  onError: string;
  comment: string;
}
export interface TcpCheckComment extends Place {
  kind: "comment";
  comment: string;
}
/** A request of an HTTP check; headers in their order. */
export interface HttpRequest {
  method: string;
  uri: string;
  version: string;
  headers: [string, string][];
  /** latin1. */
  body: string;
}
/** What an HTTP check expects of the answer; statuses "" are the usual ones. */
export interface HttpExpect extends Place {
  kind: "http";
  form: "status" | "rstatus" | "string" | "rstring" | "hdr";
  text: string;
  /** hdr: its name in small letters; `text` is its value, "" any. */
  header: string;
  regex: RegExp | null;
  /** status: codes from and to. */
  ranges: [number, number][];
  inverse: boolean;
  disableOn404: boolean;
  okStatus: CheckStatus | "";
  errorStatus: CheckStatus | "";
  onSuccess: string;
  onError: string;
  comment: string;
}
export type TcpCheckRule = TcpCheckConnect | TcpCheckSend | TcpCheckExpect | TcpCheckComment | HttpExpect;

export type CheckStatus = "L4OK" | "L4CON" | "L4TOUT" | "L6OK" | "L6RSP" | "L6TOUT" | "L7OK" | "L7OKC" | "L7RSP" | "L7STS" | "L7TOUT";

export interface Timeouts {
  connect: number | null;
  client: number | null;
  server: number | null;
  check: number | null;
  queue: number | null;
  tunnel: number | null;
  clientFin: number | null;
  serverFin: number | null;
}

/** A sample of an ACL: `nbsrv(b) ge 2`, `src 10.0.0.0/8`. */
export interface AclTest {
  fetch: string;
  argument: string;
  /** str, beg, end, sub, reg, int, ip, found, bool; "" takes the fetch's own. */
  match: string;
  ignoreCase: boolean;
  operator: "eq" | "ge" | "gt" | "le" | "lt";
  values: string[];
}
/** Words of a condition: each term names an ACL or carries its own tests; a condition is an OR of ANDs. */
export interface AclTerm {
  negate: boolean;
  /** Any of them makes the term true. */
  tests: AclTest[];
}
export interface Condition {
  unless: boolean;
  anyOf: AclTerm[][];
}

export interface SwitchRule extends Place {
  target: string;
  condition: Condition | null;
}

/** What a tcp-request rule does; none: its condition asks for what is not known. */
export type TcpAction = "accept" | "reject" | "silent-drop" | "expect-proxy" | "none";
export interface TcpRule extends Place {
  action: TcpAction;
  condition: Condition | null;
}
export interface TcpRuleLists {
  connection: TcpRule[];
  session: TcpRule[];
  content: TcpRule[];
  /** An inspect-delay was given. */
  hasDelay: boolean;
}

export type BalanceAlgorithm =
  "roundrobin" | "static-rr" | "leastconn" | "first" | "source" | "random" | "hash" | "rdp-cookie" | "uri" | "url_param" | "hdr";

export interface ProxyConfig extends Place {
  kind: "defaults" | "frontend" | "backend" | "listen";
  name: string;
  mode: "tcp" | "http" | "redis";
  disabled: boolean;
  id: number;
  description: string;
  binds: BindConfig[];
  servers: ServerConfig[];
  /** Grows with each default-server line; server lines copy it. */
  defaultServer: ServerOptions;
  timeouts: Timeouts;
  retries: number;
  /** 0 off, -1 on the last retry, n every n-th. */
  redispatch: number;
  maxconn: number;
  fullconn: number;
  backlog: number;
  balance: BalanceAlgorithm;
  /** What is in the brackets, or the words behind the algorithm. */
  balanceArgument: string;
  hashConsistent: boolean;
  /** Options that are on, by their name in the file. */
  options: Set<string>;
  check: "" | "tcp-check" | "redis-check" | "httpchk" | "ssl-hello-chk" | "other";
  httpCheck: HttpCheckConfig;
  tcpCheck: TcpCheckRule[];
  logs: LogTargetConfig[];
  logGlobal: boolean;
  logTag: string;
  /** "": connection lines only when a log is there; tcplog; or a format of one's own. */
  logFormat: string;
  defaultBackend: string;
  useBackend: SwitchRule[];
  useServer: SwitchRule[];
  tcpRules: TcpRuleLists;
  acls: Map<string, AclTest[]>;
  sourceHost: string;
  sourcePort: number;
  /** Keep-alive probes: count, idle and interval in ms, by side; 0 is the system's. */
  keepalive: { clientIdleMs: number; serverIdleMs: number };
  /** Ours: see conf/haproxy.cfg. */
  sentinels: { name: string; host: string; port: number }[];
  partition: "stay" | "hold";
  holdMs: number;
  holdBytes: number;
  replay: "readonly" | "idempotent" | "none";
  strict: boolean | null;
  /** Of mode redis: AUTH's arguments towards servers; connections that clients share; where reads may go; who may do what. */
  auth: string[] | null;
  /** The same for the proxy's own questions alone: clients log in themselves. */
  probeAuth: string[] | null;
  pool: number;
  read: "master" | "replica" | "prefer-replica";
  readMaxLagMs: number;
  deny: string[];
  users: { name: string; password: string; rules: string[] }[];
  cluster: { host: string; port: number }[];
  stats: StatsConfig;
  monitorUri: string;
  monitorFail: Condition[];
  httpRules: HttpRule[];
  loadServerState: "none" | "local" | "global";
  serverStateFile: string;
}

/** A resolvers section. */
export interface ResolversConfig {
  name: string;
  nameservers: { name: string; host: string; port: number }[];
  retries: number;
  retryMs: number;
  /** Between two look-ups of a name. */
  periodMs: number;
  /** How long a name may fail in each way before its servers are taken out; how long an address that is not among the answers is kept. */
  holdMs: { nx: number; timeout: number; refused: number; other: number; obsolete: number };
}

/** A ring section: log lines kept in memory. */
export interface RingConfig {
  name: string;
  sizeBytes: number;
  description: string;
  /** Of lines whose `log` line names none. */
  format: NonNullable<LogTargetConfig["format"]>;
  lengthMax: number;
}

export interface GlobalConfig {
  daemon: boolean;
  masterWorker: boolean;
  pidfile: string;
  maxconn: number;
  nbthread: number;
  quiet: boolean;
  logs: LogTargetConfig[];
  logTag: string;
  /** null: off; "" the machine's name. */
  logSendHostname: string | null;
  user: string;
  group: string;
  chroot: string;
  node: string;
  description: string;
  spreadChecksPercent: number;
  maxSpreadChecksMs: number;
  hardStopAfterMs: number | null;
  ulimitN: number;
  statsSockets: BindConfig[];
  statsTimeoutMs: number;
  statsMaxconn: number;
  serverStateBase: string;
  serverStateFile: string;
  /** Ours: behave as the original in everything. */
  strict: boolean;
  bufsizeBytes: number;
}

export interface HaproxyConfig {
  global: GlobalConfig;
  proxies: ProxyConfig[];
  /** Named and anonymous defaults sections, in order (for messages and tests). */
  defaults: ProxyConfig[];
  files: string[];
  resolvers: ResolversConfig[];
  rings: RingConfig[];
  /** userlist sections: names with their passwords; null for those that are only there encrypted. */
  userlists: Map<string, Map<string, string | null>>;
}

export function newServerOptions(): ServerOptions {
  return {
    check: false,
    interMs: 2000,
    fastinterMs: 0,
    downinterMs: 0,
    rise: 2,
    fall: 3,
    backup: false,
    weight: 1,
    maxconn: 0,
    minconn: 0,
    maxqueue: 0,
    slowstartMs: 0,
    shutdownOnDown: false,
    shutdownBackupOnUp: false,
    initState: "",
    checkPort: 0,
    checkHost: "",
    disabled: false,
    track: "",
    sendProxy: 0,
    checkSendProxy: false,
    checkSsl: false,
    ssl: false,
    tls: {},
    observe: "",
    errorLimit: 10,
    onError: "fail-check",
    resolvers: "",
    initAddr: "last,libc",
    resolvePrefer: "ipv6",
    ignoresDnsWeight: false,
    sourceHost: "",
    sourcePort: 0,
    cookie: "",
    id: 0,
    agentCheck: false,
    agentHost: "",
    agentPort: 0,
    agentInterMs: 2000,
    agentSend: "",
  };
}

export function newBind(place: Place): BindConfig {
  return {
    file: place.file,
    line: place.line,
    host: "",
    port: 0,
    path: "",
    fd: -1,
    text: "",
    name: "",
    maxconn: 0,
    acceptProxy: false,
    ssl: false,
    tls: {},
    mode: null,
    user: "",
    group: "",
    level: "operator",
    v4v6: false,
    v6only: false,
    id: 0,
  };
}

/** A proxy section with what `defaults` gives it; null: HAProxy's own defaults. */
export function newProxy(kind: ProxyConfig["kind"], name: string, place: Place, from: ProxyConfig | null): ProxyConfig {
  const d = from;
  return {
    kind,
    name,
    file: place.file,
    line: place.line,
    mode: d?.mode ?? "tcp",
    disabled: d?.disabled ?? false,
    id: 0,
    description: "",
    binds: [],
    servers: [],
    defaultServer: d ? { ...d.defaultServer, tls: { ...d.defaultServer.tls } } : newServerOptions(),
    timeouts: d
      ? { ...d.timeouts }
      : { connect: null, client: null, server: null, check: null, queue: null, tunnel: null, clientFin: null, serverFin: null },
    retries: d?.retries ?? 3,
    redispatch: d?.redispatch ?? 0,
    maxconn: d?.maxconn ?? 0,
    fullconn: d?.fullconn ?? 0,
    backlog: d?.backlog ?? 0,
    balance: d?.balance ?? "roundrobin",
    balanceArgument: d?.balanceArgument ?? "",
    hashConsistent: d?.hashConsistent ?? false,
    options: new Set(d?.options ?? []),
    check: d?.check ?? "",
    tcpCheck: [...(d?.tcpCheck ?? [])],
    httpCheck: newHttpCheck(d?.httpCheck),
    logs: [...(d?.logs ?? [])],
    logGlobal: d?.logGlobal ?? false,
    logTag: d?.logTag ?? "",
    logFormat: d?.logFormat ?? "",
    defaultBackend: d?.defaultBackend ?? "",
    useBackend: [],
    useServer: [],
    tcpRules: {
      connection: [...(d?.tcpRules.connection ?? [])],
      session: [...(d?.tcpRules.session ?? [])],
      content: [...(d?.tcpRules.content ?? [])],
      hasDelay: d?.tcpRules.hasDelay ?? false,
    },
    acls: new Map(),
    sourceHost: d?.sourceHost ?? "",
    sourcePort: d?.sourcePort ?? 0,
    keepalive: d ? { ...d.keepalive } : { clientIdleMs: 0, serverIdleMs: 0 },
    sentinels: [...(d?.sentinels ?? [])],
    partition: d?.partition ?? "stay",
    holdMs: d?.holdMs ?? 10_000,
    holdBytes: d?.holdBytes ?? 64 * 1024 * 1024,
    replay: d?.replay ?? "readonly",
    strict: d?.strict ?? null,
    auth: d?.auth ?? null,
    probeAuth: d?.probeAuth ?? null,
    pool: d?.pool ?? 1,
    read: d?.read ?? "master",
    readMaxLagMs: d?.readMaxLagMs ?? 1000,
    deny: [...(d?.deny ?? [])],
    users: [...(d?.users ?? [])],
    cluster: [...(d?.cluster ?? [])],
    stats: d ? { ...d.stats, auth: [...d.stats.auth], scope: [...d.stats.scope], admin: [...d.stats.admin] } : newStats(),
    monitorUri: d?.monitorUri ?? "",
    monitorFail: [],
    httpRules: [...(d?.httpRules ?? [])],
    loadServerState: d?.loadServerState ?? "none",
    serverStateFile: d?.serverStateFile ?? "",
  };
}

export function newConfig(): HaproxyConfig {
  return {
    global: {
      daemon: false,
      masterWorker: false,
      pidfile: "",
      maxconn: 0,
      nbthread: 0,
      quiet: false,
      logs: [],
      logTag: "haproxy",
      logSendHostname: null,
      user: "",
      group: "",
      chroot: "",
      node: "",
      description: "",
      spreadChecksPercent: 0,
      maxSpreadChecksMs: 0,
      hardStopAfterMs: null,
      ulimitN: 0,
      statsSockets: [],
      statsTimeoutMs: 10_000,
      statsMaxconn: 10,
      serverStateBase: "",
      serverStateFile: "",
      strict: false,
      bufsizeBytes: 16384,
    },
    proxies: [],
    defaults: [],
    files: [],
    resolvers: [],
    rings: [],
    userlists: new Map(),
  };
}

/** True when the section accepts clients. */
export function isFrontend(p: ProxyConfig): boolean {
  return p.kind === "frontend" || p.kind === "listen";
}
/** True when the section has servers. */
export function isBackend(p: ProxyConfig): boolean {
  return p.kind === "backend" || p.kind === "listen";
}
/** `frontend`, `backend` or `proxy` (a listen section), as messages call it. */
export function kindText(p: ProxyConfig): string {
  return p.kind === "listen" ? "proxy" : p.kind;
}
