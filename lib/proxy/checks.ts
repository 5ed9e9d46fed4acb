/**
 * Runs the health checks of one server: when, over which connection, until when (HAProxy configuration 5.2 and 4.2 "timeout check").
 * The rules are core/tcp_check.ts, the counter is core/health.ts; this is the wire and the clock between them. COLD.
 */
import type { TcpCheckConnect, TcpCheckRule } from "../config/haproxy_model.ts";
import { httpRules } from "../config/haproxy_http_check.ts";
import type { Conn, ConnHandler } from "../net/conn.ts";
import { dial } from "../net/dial.ts";
import { applyResult, healthText, nextDelayMs, spreadDelayMs } from "./core/health.ts";
import { proxyHeader } from "../net/proxy_protocol.ts";
import { healthLine } from "./core/health_text.ts";
import { passed, reasonText, type CheckResult } from "./core/status.ts";
import { TcpCheck, type CheckAction } from "./core/tcp_check.ts";
import type { Engine } from "./engine.ts";
import type { Server } from "./state.ts";
import { nowMs, type Timed } from "./timers.ts";
import { isStopping, say, wentDown, wentUp } from "./transitions.ts";

const CONNECT: TcpCheckConnect = {
  kind: "connect",
  file: "",
  line: 0,
  useDefault: true,
  port: 0,
  host: "",
  ssl: false,
  sni: "",
  alpn: "",
  sendProxy: false,
  linger: false,
  comment: "",
  implicit: true,
};
/** `option redis-check`: HAProxy's built-in PING. */
const REDIS_CHECK: TcpCheckRule[] = [
  CONNECT,
  { kind: "send", file: "", line: 0, form: "string", data: "*1\r\n$4\r\nPING\r\n", comment: "" },
  {
    kind: "expect",
    file: "",
    line: 0,
    form: "string",
    text: "+PONG\r\n",
    bytes: "+PONG\r\n",
    regex: null,
    inverse: false,
    minRecv: -1,
    okStatus: "L7OK",
    errorStatus: "L7STS",
    toutStatus: "L7TOUT",
    onSuccess: "Redis server is ok",
    onError: "",
    comment: "",
  },
];

export class Checker implements Timed {
  private readonly engine: Engine;
  readonly server: Server;
  private readonly rules: readonly TcpCheckRule[];
  private readonly strict: boolean;
  private run: TcpCheck | null;
  private conn: Conn<Checker> | null;
  private dialing: { cancel(): void } | null;
  private stopped: boolean;
  /** Version of the PROXY header that the connection begins with; 0: none. */
  private header: 0 | 1 | 2;
  /** When the last check began (performance.now). */
  lastStartMs: number;
  /** Called after each result: the authority looks at it. */
  onResult: ((server: Server, r: CheckResult) => void) | null;
  deadlineMs: number;
  heapAt: number;

  constructor(engine: Engine, server: Server, strict: boolean) {
    const p = server.backend.config;
    this.engine = engine;
    this.server = server;
    this.rules =
      p.check === "tcp-check" ? p.tcpCheck : p.check === "redis-check" ? REDIS_CHECK : p.check === "httpchk" ? httpRules(p) : [CONNECT];
    this.strict = strict;
    this.run = null;
    this.conn = null;
    this.dialing = null;
    this.stopped = false;
    this.header = 0;
    this.lastStartMs = 0;
    this.onResult = null;
    this.deadlineMs = 0;
    this.heapAt = -1;
  }

  /** First check after `delayMs`. */
  start(delayMs: number): void {
    this.engine.timers.set(this, nowMs() + delayMs);
  }
  stop(): void {
    this.stopped = true;
    this.engine.timers.remove(this);
    this.drop();
    this.run = null;
  }
  /** An error of its traffic (observe): what on-error asks for once there are error-limit of them in a row. */
  observed(): void {
    const { server } = this;
    const c = server.config;
    if (!server.isUp || ++server.consecutiveErrors < c.errorLimit) return;
    server.consecutiveErrors = 0;
    server.observedFailures++;
    const { health } = server;
    const { rise } = health.settings;
    // One more failure is fatal after sudden-death, the simulated one already after mark-down.
    if (c.onError === "sudden-death" && health.counter > rise) health.counter = rise + 1;
    else if (c.onError === "mark-down") health.counter = rise;
    const info = `Detected ${c.errorLimit} consecutive errors, last one was: L4 unsuccessful connection`;
    if (c.onError !== "fastinter") this.take({ status: "HANA", code: 0, info, durationMs: -1 });
    if (c.fastinterMs > 0) this.hurryWithin(c.fastinterMs);
  }
  private hurryWithin(ms: number): void {
    if (this.run === null && !this.stopped && this.deadlineMs > nowMs() + ms) this.engine.timers.set(this, nowMs() + ms);
  }

  /** Checks now instead of when the interval is over; nothing when a check is under way. */
  hurry(): void {
    if (this.run === null && !this.stopped) this.engine.timers.set(this, nowMs());
  }

  expire(now: number): void {
    if (this.run !== null) return this.act(this.run.timedOut(now));
    if (this.server.inMaintenance || this.server.checkPaused) return this.engine.timers.set(this, now + this.server.config.interMs);
    this.lastStartMs = now;
    this.run = new TcpCheck(this.rules, this.strict, now, this.server.backend.config.check === "tcp-check");
    this.server.checking = true;
    this.act(this.run.start(now));
  }

  private act(action: CheckAction): void {
    for (;;) {
      const run = this.run;
      if (run === null) return;
      switch (action.kind) {
        case "wait":
          return;
        case "connect":
          return this.connect(action.rule);
        case "send": {
          const conn = this.conn;
          if (conn === null || !conn.isOpen) {
            action = run.closed(nowMs());
            break;
          }
          const bytes = Buffer.from(action.bytes, "latin1");
          conn.out.raw(bytes, 0, bytes.length);
          conn.flush();
          action = run.sent(nowMs());
          break;
        }
        case "done":
          return this.finish(action.result);
      }
    }
  }

  private connect(rule: TcpCheckConnect): void {
    this.drop();
    const { server } = this;
    const c = server.config;
    const t = server.backend.config.timeouts;
    const now = nowMs();
    const inter = nextDelayMs(server.health);
    // Without `timeout check` the interval covers connecting and reading; with it, connecting has the shorter of the two.
    let until = now + inter;
    if (t.check && t.connect) until = Math.min(until, now + t.connect);
    this.engine.timers.set(this, until);
    // A server that wants PROXY headers gets them from checks as well, unless they go elsewhere.
    const own = rule.host === "" && rule.port === 0 && c.checkHost === "" && c.checkPort === 0;
    this.header = rule.sendProxy || c.checkSendProxy ? c.sendProxy || 1 : own ? c.sendProxy : 0;
    const host = rule.host || c.checkHost || server.host;
    const port = rule.port || c.checkPort || server.port;
    const where = c.path !== "" && rule.host === "" && rule.port === 0 ? { path: c.path } : { hostname: host || "127.0.0.1", port };
    // TLS as the traffic has it, unless the check goes elsewhere.
    const tls = rule.ssl || c.checkSsl || (c.ssl && own);
    const { conn, cancel } = dial<Checker>({
      ...where,
      ...(tls ? { tls: server.tls ?? { rejectUnauthorized: false } } : {}),
      data: this,
      handler,
      failed: (failed, error) => {
        if (this.conn !== failed) return;
        this.conn = null;
        this.dialing = null;
        if (this.run === null) return;
        const code = (error as { code?: string }).code ?? "";
        const handshake = tls && !/^E(CONN|HOST|NET|TIMEDOUT|NOENT)/.test(code);
        this.act(
          this.run.failed(
            handshake ? "SSL handshake failure" : systemText(error as { code?: string }),
            nowMs(),
            handshake ? "L6RSP" : "L4CON",
          ),
        );
      },
    });
    this.conn = conn;
    this.dialing = { cancel };
  }

  opened(): void {
    this.dialing = null;
    if (this.header !== 0) this.conn?.writeNow(proxyHeader(this.header, null, null));
    const t = this.server.backend.config.timeouts;
    if (t.check) this.engine.timers.set(this, nowMs() + t.check);
    if (this.run !== null) this.act(this.run.connected(nowMs()));
  }
  received(chunk: Buffer): void {
    if (this.run !== null) this.act(this.run.data(chunk.toString("latin1"), nowMs()));
  }
  closed(): void {
    if (this.run !== null) this.act(this.run.closed(nowMs()));
  }

  private drop(): void {
    this.dialing?.cancel();
    this.dialing = null;
    const conn = this.conn;
    this.conn = null;
    // A reset, as HAProxy does without `linger`: no TIME_WAIT on either side.
    if (conn?.isOpen) conn.terminate();
  }

  private finish(result: CheckResult): void {
    const { engine, server } = this;
    this.run = null;
    server.checking = false;
    this.drop();
    if (this.stopped) return;
    // What an administrator has decided meanwhile counts more.
    if (server.inMaintenance || server.checkPaused) return engine.timers.set(this, nowMs() + server.config.interMs);
    // disable-on-404: only one that is up may ask for no more.
    const gone = result.status === "L7OKC" && result.code === 404;
    this.take(!gone ? result : server.isUp ? { ...result, info: "" } : { ...result, status: "L7STS" });
    const g = engine.config.global;
    const delay = spreadDelayMs(nextDelayMs(server.health), g.spreadChecksPercent, g.maxSpreadChecksMs, Math.random());
    engine.timers.set(this, nowMs() + delay);
  }

  /** It has passed, and wants no new sessions. */
  private stops(reason: string): void {
    if (this.server.stopping) return;
    this.server.stopping = true;
    isStopping(this.engine, this.server, reason);
  }

  /** Counts a result in, and tells what has come of it. */
  private take(result: CheckResult): void {
    const { engine, server } = this;
    const wasUp = server.isUp;
    const change = applyResult(server.health, result);
    const back = server.backend;
    const separate = back.config.options.has("log-health-checks");
    if (separate && change.report) {
      const line = healthLine(server.path, server.config.backup, result, healthText(server.health));
      say(engine, back, passed(result.status) ? 5 : 5, line);
    }
    const reason = separate ? "" : reasonText(result);
    const isUp = server.isUp;
    const resumes = server.stopping && passed(result.status);
    if (resumes) server.stopping = false;
    if (wasUp && !isUp) wentDown(engine, server, reason);
    else if (isUp && result.status === "L7OKC") this.stops(reason);
    else if (isUp && (!wasUp || resumes)) wentUp(engine, server, reason);
    this.onResult?.(server, result);
  }
}

/** The system's text for a failed connect, as strerror has it. */
function systemText(error: { code?: string; message?: string }): string {
  switch (error.code) {
    case "ECONNREFUSED":
      return "Connection refused";
    case "EHOSTUNREACH":
      return "No route to host";
    case "ENETUNREACH":
      return "Network is unreachable";
    case "ENOENT":
      return "No such file or directory";
    case "ETIMEDOUT":
      return "Connection timed out";
    case "ECONNRESET":
      return "Connection reset by peer";
    default:
      return error.message ?? "General socket error";
  }
}

const handler: ConnHandler<Checker> = {
  open: (conn) => conn.data.opened(),
  data: (conn, chunk) => conn.data.received(chunk),
  drained: () => {},
  end: (conn) => {
    if (conn.isOpen) conn.data.closed();
  },
  close: (conn) => conn.data.closed(),
};
