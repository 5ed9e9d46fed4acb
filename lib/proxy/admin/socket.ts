/**
 * The admin socket's connections: lines in, replies out, each followed by an empty line (HAProxy management guide 9.3). Without `prompt` the
 * connection ends with its first line; that of -S, and one that follows a ring, stays until the client ends it. Levels, time-out and number of connections are the configuration's. COLD.
 */
import { chmodSync, chownSync, existsSync, unlinkSync } from "node:fs";
import type { BindConfig } from "../../config/haproxy_model.ts";
import type { Conn, ConnHandler } from "../../net/conn.ts";
import { listen, type Listener } from "../../net/listen.ts";
import { groupId, userId } from "../../os/users.ts";
import type { Engine } from "../engine.ts";
import type { Ring } from "../log_targets.ts";
import { nowMs, type Timed } from "../timers.ts";
import { LEVELS, type Call, type Level } from "./command.ts";
import { splitLine } from "./line.ts";
import { masterAnswer, receiver, type Receiver } from "./master.ts";
import { help, run } from "./table.ts";

/** The longest line that is read, as the original's buffer. */
const LINE_MAX = 16 * 1024;
const PAYLOAD_MAX = 1024 * 1024;
/** What a follower of a ring may leave untaken before it is dropped. */
const FOLLOW_MAX = 1024 * 1024;

export class AdminSession implements Timed {
  private readonly engine: Engine;
  private readonly conn: Conn<AdminSession>;
  private level: Level;
  /** Of the socket of -S alone: whom its commands are for; null on any other. */
  private to: Receiver | null;
  /** Takes the lines of a ring that this connection follows; null when it follows none. */
  private following: { ring: Ring; take: (line: string) => void } | null;
  private text: string;
  /** Commands that wait for the rest of their payload. */
  private waiting: string[][] | null;
  private payload: string;
  private prompt: boolean;
  private severity: boolean;
  private timeoutMs: number;
  private over: boolean;
  deadlineMs: number;
  heapAt: number;

  constructor(engine: Engine, conn: Conn<AdminSession>, level: Level, master: boolean) {
    this.engine = engine;
    this.conn = conn;
    this.level = level;
    this.to = master ? "master" : null;
    this.following = null;
    this.text = "";
    this.waiting = null;
    this.payload = "";
    this.prompt = false;
    this.severity = false;
    this.timeoutMs = engine.config.global.statsTimeoutMs;
    this.over = false;
    this.deadlineMs = 0;
    this.heapAt = -1;
    this.touch();
  }

  expire(): void {
    this.conn.close();
  }
  private touch(): void {
    this.engine.timers.set(this, this.timeoutMs > 0 ? nowMs() + this.timeoutMs : Infinity);
  }
  closed(): void {
    this.engine.timers.remove(this);
    this.unfollow();
  }
  private follow(ring: Ring): void {
    this.unfollow();
    const take = (line: string): void => {
      if (this.conn.out.pendingBytes() > FOLLOW_MAX) return this.conn.terminate();
      this.touch();
      this.reply(`${line}\n`);
    };
    this.following = { ring, take };
    ring.followers.add(take);
  }
  private unfollow(): void {
    if (this.following === null) return;
    this.following.ring.followers.delete(this.following.take);
    this.following = null;
  }

  data(chunk: Buffer): void {
    if (this.over) return;
    this.touch();
    if (this.following !== null) {
      // Any key ends it.
      this.unfollow();
      this.reply("\n");
      return this.settle();
    }
    this.text += chunk.toString("latin1");
    void this.lines();
  }
  ended(): void {
    // A last line without its end still counts.
    if (!this.over && this.text !== "" && this.waiting === null) {
      this.text += "\n";
      void this.lines();
    }
    this.conn.closeAfterFlush();
  }

  private async lines(): Promise<void> {
    while (!this.over) {
      const end = this.text.indexOf("\n");
      if (end < 0) {
        if (this.text.length <= LINE_MAX) return;
        return this.conn.close();
      }
      const line = this.text.slice(0, end);
      this.text = this.text.slice(end + 1);
      if (this.waiting !== null) {
        if (line.replace(/\r$/, "") !== "" && this.payload.length < PAYLOAD_MAX) {
          this.payload += `${line}\n`;
          continue;
        }
        const commands = this.waiting;
        this.waiting = null;
        await this.runAll(commands);
        continue;
      }
      const { commands, payload } = splitLine(line);
      if (payload) {
        this.waiting = commands;
        this.payload = "";
      } else await this.runAll(commands);
    }
  }

  private async runAll(commands: string[][]): Promise<void> {
    for (const args of commands) {
      const word = args[0]!;
      if (word === "quit") {
        this.over = true;
        break;
      }
      if (word === "prompt") {
        this.prompt = !this.prompt;
        if (!this.prompt) this.reply("\n");
        continue;
      }
      if (word === "set" && args[1] === "severity-output") {
        this.severity = args[2] === "number" || args[2] === "string";
        this.reply("\n");
        continue;
      }
      const before = this.to;
      const body = await this.answer(args);
      if (body === null) continue;
      this.reply(`${this.severity && body !== "" ? "[6]: " : ""}${body}${this.following === null ? "\n" : ""}`);
      this.to = before;
    }
    if (this.following === null) this.settle();
  }
  /** A line has been answered: another one is waited for, or the end. */
  private settle(): void {
    if (this.prompt && !this.over) this.reply(this.to === null ? "> " : this.to === "master" ? "master> " : `${process.pid}> `);
    else if (this.to === null || this.over) {
      this.over = true;
      this.conn.closeAfterFlush();
    }
  }
  /** Null: the words only say whom the next ones are for. */
  private async answer(args: string[]): Promise<string | null> {
    if (this.to !== null) {
      const to = receiver(args);
      if (to !== null && typeof to === "object") {
        this.over = true;
        return to.error;
      }
      this.to = to ?? this.to;
      if (args.length === 0) return null;
      if (to === null && (args[0] === "user" || args[0] === "operator")) {
        this.level = Math.min(this.level, LEVELS.indexOf(args[0])) as Level;
        return null;
      }
    } else if (args[0] === "help") return help(args.slice(1), this.level);
    const call: Call = {
      engine: this.engine,
      args,
      level: this.level,
      payload: this.payload,
      follow: (ring) => this.follow(ring),
      setTimeout: (seconds) => {
        this.timeoutMs = seconds * 1000;
        this.touch();
      },
    };
    // What a worker is told about levels ends with that command.
    if (this.to !== null) return await masterAnswer(call, this.to);
    const text = run(call);
    this.level = call.level;
    return text;
  }
  private reply(text: string): void {
    const bytes = Buffer.from(text, "latin1");
    this.conn.out.raw(bytes, 0, bytes.length);
    this.conn.flush();
  }
}

const handler: Omit<ConnHandler<AdminSession>, "open"> = {
  data: (conn, chunk) => conn.data?.data(chunk),
  drained: () => {},
  end: (conn) => (conn.data === undefined ? conn.close() : conn.data.ended()),
  close: (conn) => conn.data?.closed(),
};

/** Opens one admin socket. Throws what listen throws. */
export function listenAdmin(engine: Engine, bind: BindConfig, master: boolean): Listener {
  const { path } = bind;
  if (path !== "" && !path.startsWith("\0") && existsSync(path)) unlinkSync(path);
  let open = 0;
  const level = LEVELS.indexOf(bind.level) as Level;
  const listener = listen<AdminSession>({
    ...(bind.fd >= 0
      ? { fd: bind.fd }
      : path !== ""
        ? { path }
        : { hostname: bind.host === "" ? "0.0.0.0" : bind.host, port: bind.port, reusePort: true }),
    accept: () => undefined as unknown as AdminSession,
    handler: {
      ...handler,
      open(conn) {
        if (++open > engine.config.global.statsMaxconn) return conn.terminate();
        conn.data = new AdminSession(engine, conn, level, master);
      },
      close(conn) {
        open--;
        conn.data?.closed();
      },
    },
  });
  if (path !== "" && !path.startsWith("\0")) {
    if (bind.mode !== null) chmodSync(path, bind.mode);
    const uid = bind.user === "" ? -1 : (userId(bind.user) ?? -1);
    const gid = bind.group === "" ? -1 : (groupId(bind.group) ?? -1);
    if (uid >= 0 || gid >= 0) chownSync(path, uid < 0 ? process.getuid!() : uid, gid < 0 ? process.getgid!() : gid);
  }
  engine.cliListeners++;
  return listener;
}
