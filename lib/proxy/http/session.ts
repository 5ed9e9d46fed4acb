/**
 * A client of a `mode http` section. redisha does not proxy HTTP; it answers what Redis set-ups ask such a section for: monitor-uri, the stats
 * page and its forms, the Prometheus metrics, fixed answers of http-request rules. Anything else is a 503, as from HAProxy without a server.
 * COLD.
 */
import type { ProxyConfig } from "../../config/haproxy_model.ts";
import type { Conn, ConnHandler } from "../../net/conn.ts";
import { isTrue, type Fetch } from "../core/acl.ts";
import { commonFetch } from "../assign.ts";
import type { Engine } from "../engine.ts";
import type { Frontend } from "../state.ts";
import { nowMs, type Timed } from "../timers.ts";
import { metrics } from "./metrics.ts";
import { encodeAnswer, plainAnswer, readRequest, type HttpAnswer, type HttpRequest } from "./request.ts";
import { statsAnswer } from "./stats.ts";

const DEFAULT_TIMEOUT_MS = 10_000;

export class HttpSession implements Timed {
  private readonly engine: Engine;
  private readonly front: Frontend;
  private readonly conn: Conn<HttpSession>;
  private text: string;
  private over: boolean;
  deadlineMs: number;
  heapAt: number;

  constructor(engine: Engine, front: Frontend, conn: Conn<HttpSession>) {
    this.engine = engine;
    this.front = front;
    this.conn = conn;
    this.text = "";
    this.over = false;
    this.deadlineMs = 0;
    this.heapAt = -1;
    const now = Date.now();
    front.connections++;
    front.sessionsTotal++;
    front.active++;
    front.activeMax = Math.max(front.activeMax, front.active);
    front.rate.hit(now);
    front.connectionRate.hit(now);
    engine.connections++;
    engine.sessions++;
    engine.active++;
    this.touch();
  }
  private touch(): void {
    this.engine.timers.set(this, nowMs() + (this.front.config.timeouts.client || DEFAULT_TIMEOUT_MS));
  }
  expire(): void {
    this.conn.close();
  }

  data(chunk: Buffer): void {
    if (this.over) return;
    this.front.bytesIn += chunk.length;
    this.text += chunk.toString("latin1");
    this.touch();
    while (this.text !== "") {
      const r = readRequest(this.text);
      if (r === "more") return;
      if (typeof r === "number") {
        this.front.requestErrors++;
        return this.answer(
          plainAnswer(r, r === 400 ? "Your browser sent an invalid request." : "The request is not served."),
          false,
          false,
        );
      }
      this.text = this.text.slice(r.length);
      this.answer(this.respond(r), r.method === "HEAD", r.keepAlive);
      if (!r.keepAlive) return;
    }
  }
  ended(): void {
    this.over = true;
    this.conn.closeAfterFlush();
  }
  closed(): void {
    this.engine.timers.remove(this);
    this.front.active--;
    this.engine.active--;
    this.engine.onIdle?.();
  }
  private answer(a: HttpAnswer, head: boolean, keepAlive: boolean): void {
    const bytes = encodeAnswer(a, head, keepAlive);
    this.front.bytesOut += bytes.length;
    this.conn.out.raw(bytes, 0, bytes.length);
    this.conn.flush();
    if (keepAlive) return;
    this.over = true;
    this.conn.closeAfterFlush();
  }

  private respond(r: HttpRequest): HttpAnswer {
    const { engine, front } = this;
    const p = front.config;
    const fetch = this.fetches(r);
    if (p.monitorUri !== "" && r.target === p.monitorUri) {
      const failed = p.monitorFail.some((c) => isTrue(c, fetch));
      return failed ? plainAnswer(503, "No server is available to handle this request.") : plainAnswer(200, "Service ready.");
    }
    const back =
      p.kind === "listen" ? p : (engine.config.proxies.find((b) => b.name === p.defaultBackend && b.kind !== "frontend") ?? null);
    for (const section of back === null || back === p ? [p] : [p, back]) {
      const answer = this.rules(section, r, fetch) ?? statsAnswer(engine, section, r, (c) => isTrue(c, fetch));
      if (answer !== null) return answer;
    }
    return plainAnswer(503, "No server is available to handle this request.");
  }

  /** The first http-request rule that answers. */
  private rules(p: ProxyConfig, r: HttpRequest, fetch: Fetch): HttpAnswer | null {
    for (const rule of p.httpRules) {
      if (!isTrue(rule.condition, fetch)) continue;
      switch (rule.kind) {
        case "allow":
          return null;
        case "metrics":
          return metrics(this.engine, r.target);
        case "deny":
          this.front.requestErrors++;
          return plainAnswer(rule.status, "Request forbidden by administrative rules.");
        case "redirect":
          return { status: rule.status, headers: [["location", rule.location]], body: "" };
        case "auth":
          return plainAnswer(401, "You need a valid user and password to access this content.", [
            ["www-authenticate", `Basic realm="${rule.realm}"`],
          ]);
        case "return":
          return { status: rule.status, headers: [["content-type", rule.contentType]], body: rule.body };
      }
    }
    return null;
  }

  private fetches(r: HttpRequest): Fetch {
    const { engine } = this;
    const common = commonFetch(this.engine, { front: this.front, back: null, client: this.conn });
    const path = r.target.split("?")[0]!;
    return (name, argument) => {
      switch (name) {
        case "path":
          return path;
        case "url":
          return r.target;
        case "query":
          return r.target.slice(path.length + 1);
        case "method":
          return r.method;
        case "http_auth":
          return passes(engine.config.userlists.get(argument), r);
        case "hdr":
        case "req.hdr":
          return r.headers.get(argument.toLowerCase()) ?? null;
        default:
          return common(name, argument);
      }
    };
  }
}

/** Basic credentials of one of the list's users. */
function passes(users: Map<string, string | null> | undefined, r: HttpRequest): boolean {
  const given = /^Basic +(\S+)$/i.exec(r.headers.get("authorization") ?? "")?.[1];
  if (users === undefined || given === undefined) return false;
  const [name, ...rest] = Buffer.from(given, "base64").toString("latin1").split(":");
  const password = users.get(name!);
  return password !== undefined && password !== null && password === rest.join(":");
}

const handler: ConnHandler<HttpSession> = {
  open: () => {},
  data: (conn, chunk) => conn.data.data(chunk),
  drained: () => {},
  end: (conn) => conn.data.ended(),
  close: (conn) => conn.data.closed(),
};

/** Takes an accepted connection of a `mode http` section. */
export function beginHttp(engine: Engine, front: Frontend, conn: Conn<never>): void {
  const own = conn as unknown as Conn<HttpSession>;
  if ((front.maxconn > 0 && front.active >= front.maxconn) || (engine.maxconn > 0 && engine.active >= engine.maxconn)) {
    own.handler = { ...handler, data: () => {}, end: () => {}, close: () => {} };
    return own.terminate();
  }
  own.data = new HttpSession(engine, front, own);
  own.handler = handler;
}
