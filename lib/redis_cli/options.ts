/**
 * The command line of redis-cli: options first, then the command. Cold; texts are latin1.
 * Option names, their errors and exit codes are the original's. Added: --sentinel NAME, which asks the Sentinel at -h -p for the master
 * of that name and talks to it. Left out: Redis Cluster (-c follows redirections, --cluster manages none), --lru-test, the Lua debugger's console.
 */
import { splitArgs } from "../bytes/args.ts";
import type { Delimiters, Output } from "./format.ts";
import { complain, outputIsTerminal, print } from "./terminal.ts";
import { usage } from "./usage.ts";

export type Special =
  | "latency"
  | "latency-dist"
  | "replica"
  | "rdb"
  | "functions-rdb"
  | "pipe"
  | "bigkeys"
  | "memkeys"
  | "hotkeys"
  | "stat"
  | "scan"
  | "intrinsic-latency";

export interface CliOptions {
  host: string;
  port: number;
  socket: string | null;
  user: string | null;
  password: string | null;
  database: number;
  /** Name of the master to ask the Sentinel at host:port for. */
  sentinel: string | null;
  tls: boolean;
  sni: string | null;
  caFile: string | null;
  certFile: string | null;
  keyFile: string | null;
  insecure: boolean;
  output: Output;
  delimiters: Delimiters;
  showPushes: boolean;
  resp2: boolean;
  /** No; asked for by -3, a refusal is an error; wished by --json, a refusal is borne. */
  resp3: "no" | "must" | "wish";
  repeat: number;
  intervalMs: number;
  cluster: boolean;
  exitOnError: boolean;
  quotedInput: boolean;
  stdinLast: boolean;
  stdinTag: string | null;
  noAuthWarning: boolean;
  askPassword: boolean;
  special: Special | null;
  latencyHistory: boolean;
  mono: boolean;
  pattern: string | null;
  memkeySamples: number;
  pipeTimeoutS: number;
  rdbFile: string;
  intrinsicS: number;
  evalFile: string | null;
  command: string[];
}

function defaults(): CliOptions {
  const terminal = outputIsTerminal();
  return {
    host: "127.0.0.1",
    port: 6379,
    socket: null,
    user: null,
    password: null,
    database: 0,
    sentinel: null,
    tls: false,
    sni: null,
    caFile: null,
    certFile: null,
    keyFile: null,
    insecure: false,
    output: terminal ? "standard" : "raw",
    delimiters: { element: "\n", reply: "\n" },
    showPushes: terminal,
    resp2: false,
    resp3: "no",
    repeat: 1,
    intervalMs: 0,
    cluster: false,
    exitOnError: false,
    quotedInput: false,
    stdinLast: false,
    stdinTag: null,
    noAuthWarning: false,
    askPassword: false,
    special: null,
    latencyHistory: false,
    mono: false,
    pattern: null,
    memkeySamples: 0,
    pipeTimeoutS: 30,
    rdbFile: "",
    intrinsicS: 0,
    evalFile: null,
    command: [],
  };
}

/** Options that stand alone. */
const FLAGS: Record<string, (o: CliOptions) => void> = {
  "-x": (o) => (o.stdinLast = true),
  "-c": (o) => (o.cluster = true),
  "-e": (o) => (o.exitOnError = true),
  "-2": (o) => (o.resp2 = true),
  "-3": (o) => (o.resp3 = "must"),
  "--no-auth-warning": (o) => (o.noAuthWarning = true),
  "--askpass": (o) => (o.askPassword = true),
  "--raw": (o) => (o.output = "raw"),
  "--no-raw": (o) => (o.output = "standard"),
  "--quoted-input": (o) => (o.quotedInput = true),
  "--csv": (o) => (o.output = "csv"),
  "--json": (o) => jsonOutput(o, "json"),
  "--quoted-json": (o) => jsonOutput(o, "quoted-json"),
  "--verbose": () => {},
  "--tls": (o) => (o.tls = true),
  "--insecure": (o) => (o.insecure = true),
  "--mono": (o) => (o.mono = true),
  "--latency": (o) => (o.special = "latency"),
  "--latency-history": (o) => {
    o.special = "latency";
    o.latencyHistory = true;
  },
  "--latency-dist": (o) => (o.special = "latency-dist"),
  "--slave": (o) => (o.special = "replica"),
  "--replica": (o) => (o.special = "replica"),
  "--stat": (o) => (o.special = "stat"),
  "--scan": (o) => (o.special = "scan"),
  "--pipe": (o) => (o.special = "pipe"),
  "--bigkeys": (o) => (o.special = "bigkeys"),
  "--memkeys": (o) => {
    o.special = "memkeys";
    o.memkeySamples = 0;
  },
  "--hotkeys": (o) => (o.special = "hotkeys"),
};

/** Options with a value; as the last word they are errors. */
const VALUES: Record<string, (o: CliOptions, value: string) => void> = {
  "-h": (o, v) => (o.host = v),
  "-X": (o, v) => (o.stdinTag = v),
  "-p": (o, v) => (o.port = integer(v)),
  "-s": (o, v) => (o.socket = v),
  "-r": (o, v) => (o.repeat = integer(v)),
  "-i": (o, v) => (o.intervalMs = (Number.parseFloat(v) || 0) * 1000),
  "-n": (o, v) => (o.database = integer(v)),
  "-a": (o, v) => (o.password = v),
  "--pass": (o, v) => (o.password = v),
  "--user": (o, v) => (o.user = v),
  "-u": readUri,
  "-d": (o, v) => (o.delimiters.element = v),
  "-D": (o, v) => (o.delimiters.reply = v),
  "--sentinel": (o, v) => (o.sentinel = v),
  "--sni": (o, v) => (o.sni = v),
  "--cacert": (o, v) => (o.caFile = v),
  "--cert": (o, v) => (o.certFile = v),
  "--key": (o, v) => (o.keyFile = v),
  "--tls-ciphers": () => {},
  "--tls-ciphersuites": () => {},
  "--cacertdir": () => fail("--cacertdir: give the certificate itself with --cacert"),
  "--pattern": (o, v) => (o.pattern = v),
  "--quoted-pattern": (o, v) => {
    const pattern = unquote(v);
    if (pattern === null) fail("Invalid quoted string specified for --quoted-pattern.");
    o.pattern = pattern;
  },
  "--intrinsic-latency": (o, v) => {
    o.special = "intrinsic-latency";
    o.intrinsicS = integer(v);
  },
  "--rdb": (o, v) => rdbTo(o, "rdb", v),
  "--functions-rdb": (o, v) => rdbTo(o, "functions-rdb", v),
  "--pipe-timeout": (o, v) => (o.pipeTimeoutS = integer(v)),
  "--memkeys-samples": (o, v) => {
    o.special = "memkeys";
    o.memkeySamples = integer(v);
  },
  "--eval": (o, v) => (o.evalFile = v),
  "--show-pushes": (o, v) => {
    if (/^n/i.test(v)) o.showPushes = false;
    else if (/^y/i.test(v)) o.showPushes = true;
    else complain(`Unknown --show-pushes value '${v}' (valid: '[y]es', '[n]o')\n`);
  },
};

/** What redis-cli can do and this client does not. */
const LEFT_OUT: Record<string, string> = {
  "--cluster": "redisha keeps one data set available and is no Redis Cluster",
  "--lru-test": "not part of redisha",
  "--ldb": "the debugger's console is not part of redisha; redis-cli --ldb-sync-mode talks to its servers",
  "--ldb-sync-mode": "the debugger's console is not part of redisha; redis-cli --ldb-sync-mode talks to its servers",
};

/** Reads the command line, complains and exits as redis-cli does. `args`: everything behind the program's name. */
export function readOptions(args: readonly string[]): CliOptions {
  const o = defaults();
  let i = 0;
  for (; i < args.length; i++) {
    const word = args[i];
    const last = i === args.length - 1;
    if (word === "--help" || (word === "-h" && last)) {
      print(usage());
      process.exit(0);
    }
    if (word === "-v" || word === "--version") {
      print(`redis-cli ${usage.version}\n`);
      process.exit(0);
    }
    if (LEFT_OUT[word] !== undefined) fail(`${word}: ${LEFT_OUT[word]}`);
    const flag = FLAGS[word];
    const value = VALUES[word];
    if (flag !== undefined) flag(o);
    else if (value !== undefined && !last) value(o, args[++i]);
    else if (word.startsWith("-")) fail(`Unrecognized option or bad number of args for: '${word}'`);
    else break;
  }
  o.command = args.slice(i);
  agree(o);
  return o;
}

function agree(o: CliOptions): void {
  if (o.socket !== null && o.cluster) fail("Options -c and -s are mutually exclusive.");
  if (o.resp2 && o.resp3 === "must") fail("Options -2 and -3 are mutually exclusive.");
  if (!o.noAuthWarning && o.password !== null)
    complain("Warning: Using a password with '-a' or '-u' option on the command line interface may not be safe.\n");
  if (o.stdinLast && o.stdinTag !== null) fail("Options -x and -X are mutually exclusive.");
  const fromEnvironment = process.env["REDISCLI_AUTH"];
  if (fromEnvironment !== undefined && o.password === null) o.password = Buffer.from(fromEnvironment, "utf8").toString("latin1");
}

function jsonOutput(o: CliOptions, output: Output): void {
  if (o.resp3 === "no") o.resp3 = "wish";
  o.output = output;
}

function rdbTo(o: CliOptions, special: "rdb" | "functions-rdb", file: string): void {
  if (o.special !== null && o.special !== special && o.special.endsWith("rdb"))
    fail("Option --functions-rdb and --rdb are mutually exclusive.");
  o.special = special;
  o.rdbFile = file;
}

/** C's atoi: the number at the beginning, or 0. */
export function integer(text: string): number {
  return Number(/^\s*([+-]?\d+)/.exec(text)?.[1] ?? 0);
}

/** One word in Redis' quotes; null when it is none or several. */
export function unquote(text: string): string | null {
  const words = splitArgs(text);
  return words !== null && words.length === 1 ? words[0] : null;
}

function fail(text: string): never {
  complain(`${text}\n`);
  process.exit(1);
}

/** redis://[[user:]password@][host[:port]][/database], rediss:// with TLS. */
function readUri(o: CliOptions, uri: string): void {
  const scheme = /^redis(s?):\/\//i.exec(uri);
  if (scheme === null) fail("Invalid URI scheme");
  if (scheme[1] !== "") o.tls = true;
  let rest = uri.slice(scheme[0].length);
  const at = rest.indexOf("@");
  if (at >= 0) {
    const colon = rest.indexOf(":");
    if (colon >= 0 && colon < at) o.user = percentDecode(rest.slice(0, colon));
    o.password = percentDecode(rest.slice(colon >= 0 && colon < at ? colon + 1 : 0, at));
    rest = rest.slice(at + 1);
  }
  if (rest === "") return;
  const slash = rest.indexOf("/");
  const place = slash < 0 ? rest : rest.slice(0, slash);
  if (place !== "") {
    const colon = place.indexOf(":");
    if (colon >= 0) o.port = integer(place.slice(colon + 1));
    o.host = colon >= 0 ? place.slice(0, colon) : place;
  }
  if (slash >= 0 && slash + 1 < rest.length) o.database = integer(rest.slice(slash + 1));
}

function percentDecode(text: string): string {
  return text.replace(/%(.{0,2})/g, (_all, hex: string) => {
    if (hex.length < 2) fail("Incomplete URI encoding");
    if (!/^[0-9a-f]{2}$/i.test(hex)) fail("Illegal character in URI encoding");
    return String.fromCharCode(Number.parseInt(hex, 16));
  });
}
