/**
 * The admin socket's connections: lines in, replies out, each followed by an empty line (HAProxy management guide 9.3). Without `prompt` the
 * connection ends with its first line. Levels, time-out and number of connections are the configuration's. COLD.
 */
import { chmodSync, chownSync, existsSync, unlinkSync } from "node:fs";
import type { BindConfig } from "../../config/haproxy_model.ts";
import type { Conn, ConnHandler } from "../../net/conn.ts";
import { listen, type Listener } from "../../net/listen.ts";
import { groupId, userId } from "../../os/users.ts";
import type { Engine } from "../engine.ts";
import { nowMs, type Timed } from "../timers.ts";
import { LEVELS, type Call, type Level } from "./command.ts";
import { splitLine } from "./line.ts";
import { masterCommand } from "./master.ts";
import { help, run } from "./table.ts";

/** The longest line that is read, as the original's buffer. */
const LINE_MAX = 16 * 1024;
const PAYLOAD_MAX = 1024 * 1024;

export class AdminSession implements Timed {
  private readonly engine: Engine;
  private readonly conn: Conn<AdminSession>;
  private level: Level;
  /** The socket of -S: it knows reload and `show proc` as well. */
  private readonly master: boolean;
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
    this.master = master;
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
  }

  data(chunk: Buffer): void {
    if (this.over) return;
    this.touch();
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
      const body = `${(await this.answer(args)).toString()}`;
      this.reply(`${this.severity && body !== "" ? "[6]: " : ""}${body}\n`);
    }
    if (this.prompt && !this.over) this.reply(this.master ? "master> " : "> ");
    else {
      this.over = true;
      this.conn.closeAfterFlush();
    }
  }
  private async answer(args: string[]): Promise<string> {
    if (args[0] === "help") return help(args.slice(1), this.level);
    const call: Call = {
      engine: this.engine,
      args,
      level: this.level,
      payload: this.payload,
      setTimeout: (seconds) => {
        this.timeoutMs = seconds * 1000;
        this.touch();
      },
    };
    const own = this.master ? await masterCommand(call) : null;
    if (own !== null) return own;
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
    ...(path !== "" ? { path } : { hostname: bind.host === "" ? "0.0.0.0" : bind.host, port: bind.port, reusePort: true }),
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
