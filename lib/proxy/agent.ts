/**
 * Agent checks: a program beside a server says how it is (HAProxy configuration 5.2 "agent-check"): a percentage of its weight, up, down,
 * stopped, ready, drain, maint, maxconn. One connection an interval, one line, read until the peer closes or the line is whole. COLD.
 */
import { dial } from "../net/dial.ts";
import type { Conn, ConnHandler } from "../net/conn.ts";
import { agentInfo, readAgentReply } from "./core/agent_reply.ts";
import { isUp, resetHealth } from "./core/health.ts";
import { reasonText, statusText, type StatusName } from "./core/status.ts";
import type { Engine } from "./engine.ts";
import { setWeight } from "./slowstart.ts";
import type { AgentState, Server } from "./state.ts";
import { nowMs, type Timed } from "./timers.ts";
import { drainQueues, setAdmin, wentDown, wentUp } from "./transitions.ts";

/** More than this is no agent's line. */
const LINE_MAX = 1024;

export class Agent implements Timed, AgentState {
  private readonly engine: Engine;
  readonly server: Server;
  private conn: Conn<Agent> | null;
  private cancel: (() => void) | null;
  private text: string;
  private startedMs: number;
  private stopped: boolean;
  /** Switched off by an administrator. */
  paused: boolean;
  // AgentState
  isDown: boolean;
  statusName: StatusName;
  description: string;
  lastText: string;
  durationMs: number;
  /** Where it listens, and what it is sent; the admin socket changes them. */
  host: string;
  port: number;
  send: string;
  deadlineMs: number;
  heapAt: number;

  constructor(engine: Engine, server: Server) {
    this.engine = engine;
    this.server = server;
    this.conn = null;
    this.cancel = null;
    this.text = "";
    this.startedMs = 0;
    this.stopped = false;
    this.paused = false;
    this.isDown = false;
    this.statusName = "INI";
    this.description = "";
    this.lastText = "";
    this.durationMs = 0;
    this.host = server.config.agentHost;
    this.port = server.config.agentPort;
    this.send = server.config.agentSend;
    this.deadlineMs = 0;
    this.heapAt = -1;
  }

  start(): void {
    this.engine.timers.set(this, nowMs());
  }
  stop(): void {
    this.stopped = true;
    this.engine.timers.remove(this);
    this.drop();
  }

  expire(now: number): void {
    if (this.conn !== null) return this.failed("L7TOUT", "");
    if (this.paused || this.server.unresolved) return this.later();
    this.startedMs = now;
    this.text = "";
    this.engine.timers.set(this, now + this.server.config.agentInterMs);
    const { conn, cancel } = dial<Agent>({
      hostname: this.host || this.server.host || "127.0.0.1",
      port: this.port,
      data: this,
      handler,
      failed: (failed) => {
        if (this.conn === failed) this.failed("L4CON", "Connection refused");
      },
    });
    this.conn = conn;
    this.cancel = cancel;
  }

  opened(): void {
    if (this.send !== "") this.conn?.writeNow(Buffer.from(this.send, "latin1"));
  }
  received(chunk: Buffer): void {
    this.text += chunk.toString("latin1");
    if (/[\r\n]/.test(this.text) || this.text.length > LINE_MAX) this.ended();
  }
  ended(): void {
    if (this.conn === null) return;
    const end = this.text.search(/[\r\n]/);
    this.finish();
    if (this.text === "") return this.mark("L7RSP", "TCPCHK got an empty response at step 2");
    // What the status was stays.
    if (end < 0) this.lastText = "Ignoring incomplete line from agent";
    else this.take(this.text.slice(0, Math.min(end, LINE_MAX)));
  }

  /** No answer changes nothing but what the statistics show. */
  private failed(status: StatusName, text: string): void {
    this.mark(status, text);
    this.finish();
  }
  private mark(status: StatusName, text: string): void {
    this.statusName = status;
    this.description = statusText(status);
    this.lastText = text;
  }
  private finish(): void {
    this.durationMs = Math.round(nowMs() - this.startedMs);
    this.drop();
    this.later();
  }
  private later(): void {
    if (!this.stopped) this.engine.timers.set(this, nowMs() + this.server.config.agentInterMs);
  }
  private drop(): void {
    this.cancel?.();
    this.cancel = null;
    const { conn } = this;
    this.conn = null;
    if (conn?.isOpen) conn.terminate();
  }

  private take(line: string): void {
    const { engine, server } = this;
    const r = readAgentReply(line);
    const info = agentInfo(r);
    this.mark(r.health === null ? "CHECKED" : r.health === "up" ? "L7OK" : "L7STS", info);
    if (r.weightPercent !== null) {
      server.userWeight = Math.min(256, Math.floor((server.config.weight * r.weightPercent) / 100));
      setWeight(server, nowMs());
    }
    if (r.maxconn !== null) {
      server.maxconn = r.maxconn;
      drainQueues(server);
    }
    if (r.admin !== null) setAdmin(engine, server, r.admin);
    if (r.health === null) return;
    const { durationMs } = this;
    this.setDown(r.health !== "up", reasonText({ status: r.health === "up" ? "L7OK" : "L7STS", code: 0, info, durationMs }));
  }

  /** By its own word, or the administrator's. */
  setDown(down: boolean, reason: string): void {
    const { server } = this;
    const was = server.isUp;
    this.isDown = down;
    // Nobody else could take it up again.
    if (!down && !server.isChecked && !isUp(server.health)) resetHealth(server.health, true);
    if (!down) server.stopping = false;
    if (was && !server.isUp) {
      server.health.downs++;
      wentDown(this.engine, server, reason);
    }
    if (!was && server.isUp) wentUp(this.engine, server, reason);
  }
}

const handler: ConnHandler<Agent> = {
  open: (conn) => conn.data.opened(),
  data: (conn, chunk) => conn.data.received(chunk),
  drained: () => {},
  end: (conn) => conn.data.ended(),
  close: (conn) => conn.data.ended(),
};
