/**
 * Sentinel's own port: listeners, clients, the command table. COLD (a Sentinel serves a handful of clients).
 *
 *   socket --ingest/dispatch (lib/clients)--> rows of the command table --> commands.ts (PING, INFO, SUBSCRIBE, ...)
 *                                                                     \--> driver.command (SENTINEL, PUBLISH) --> engine
 */
import { FLAG_UNIX, Client, CLIENT_UNAUTHENTICATED } from "../clients/client.ts";
import type { Call } from "../clients/call.ts";
import { Dispatcher, type Host } from "../clients/dispatch.ts";
import { Ingest } from "../clients/ingest.ts";
import { commandRuns, helpReply } from "../commands/command_info.ts";
import { rowTable, RowTable } from "../commands/table/index.ts";
import type { Row } from "../commands/table/row.ts";
import type { Config } from "../config/config.ts";
import type { Log } from "../log/log.ts";
import type { Conn } from "../net/conn.ts";
import { listen, type Listener } from "../net/listen.ts";
import { strerror } from "../bytes/errno.ts";
import { ERR } from "../resp/errors.ts";
import { writeAnswer } from "./answer.ts";
import { plainRuns, type Shutdown } from "./commands.ts";
import type { Driver } from "./driver.ts";
import type { SentinelEngine } from "./core/engine.ts";
import { PubSub } from "./pubsub.ts";
import type { ScriptQueue } from "./scripts.ts";

export interface SentinelServerOptions {
  config: Config;
  log: Log;
  /** Set after construction: the driver publishes through this server. */
  driver: Driver | null;
  engine: SentinelEngine;
  scripts: ScriptQueue;
  shutdown: Shutdown;
}

/** Counters that INFO stats shows. */
export interface Stats {
  startedMs: number;
  connections: number;
  rejected: number;
  netInput: number;
}

export class SentinelServer {
  readonly options: SentinelServerOptions;
  readonly dispatcher: Dispatcher;
  readonly pubsub: PubSub;
  readonly table: RowTable;
  readonly stats: Stats;
  private readonly ingest: Ingest;
  private readonly listeners: Listener[];

  constructor(options: SentinelServerOptions) {
    this.options = options;
    this.dispatcher = new Dispatcher(host);
    this.pubsub = new PubSub((client) => this.dispatcher.wake(client));
    this.table = rowTable("sentinel");
    this.stats = { startedMs: Date.now(), connections: 0, rejected: 0, netInput: 0 };
    this.listeners = [];
    this.ingest = new Ingest({
      dispatcher: this.dispatcher,
      accepted: (conn) => this.accepted(conn),
      gone: (client) => this.gone(client),
      divert: () => false,
      queryLimitBytes: () => options.config.number("client-query-buffer-limit"),
      overQueryLimit: (client) => client.conn?.terminate(),
      protocolError: (client, text) => options.log.verbose(`Protocol error (${text}) from client: id=${client.id} addr=${client.remote}`),
      netInput: (bytes) => void (this.stats.netInput += bytes),
    });
    this.bind();
  }

  /** Rows of the table to functions; every row that a Sentinel serves has one. */
  private bind(): void {
    const runs: Record<string, (call: Call) => void> = { ...plainRuns(this), ...commandRuns(this.table) };
    const engine = (call: Call): void => this.ask(call);
    const renames = new Map(this.options.config.renames.map(([from, to]) => [from.toLowerCase(), to]));
    const bindRow = (row: Row, parent: ReturnType<Dispatcher["bind"]> | null): void => {
      const run = runs[row.name] ?? (row.name.endsWith("|help") ? (call: Call) => helpReply(row.parent!, call.out) : undefined);
      const mine = row.name.startsWith("sentinel|") || row.name === "publish";
      if (run === undefined && !mine && row.subcommands === null) return;
      const name = parent === null ? renames.get(row.name) : undefined;
      if (name === "") return;
      const facts = name === undefined ? row : { name: name.toLowerCase(), arity: row.arity, flags: row.flags };
      const command = this.dispatcher.bind(facts, run ?? engine, parent, row.subcommands !== null);
      for (const sub of row.subcommands ?? []) bindRow(sub, command);
    };
    for (const row of this.table.rows) bindRow(row, null);
    // Clients say QUIT to a Sentinel as well; the original refuses it.
    const quit = rowTable("all").get("quit");
    if (quit !== undefined) this.dispatcher.bind(quit, runs["quit"]);
  }

  /** SENTINEL and PUBLISH are answered by the engine, within this call: its persists are synchronous. */
  private ask(call: Call): void {
    const args: string[] = [];
    for (let i = 0; i < call.argc; i++) args.push(call.text(i));
    const { out } = call;
    args[0] = call.command.parent === null ? "PUBLISH" : "SENTINEL";
    this.options.driver!.command(args, (answer) => writeAnswer(out, answer));
  }

  // ---- listening and clients

  /** Opens every address of `bind`, and the unix socket. The text of the failure, or null. */
  start(): string | null {
    const { config } = this.options;
    const port = config.number("port");
    const accept = (): Client => null as unknown as Client;
    let open = 0;
    if (port !== 0)
      for (const word of config.special("bind")) {
        const optional = word.startsWith("-");
        const address = word
          .replace(/^-/, "")
          .replace(/^\*$/, "0.0.0.0")
          .replace(/^::\*$/, "::");
        try {
          this.listeners.push(listen<Client>({ hostname: address, port, accept, handler: this.ingest.handler }));
          open++;
        } catch (error) {
          if (optional && (error as { code?: string }).code !== "EADDRINUSE") continue;
          if (open > 0 && address === "::" && (error as { code?: string }).code === "EADDRINUSE") continue; // dual stack took it
          this.options.log.warning(`Warning: Could not create server TCP listening socket ${address}:${port}: bind: ${strerror(error)}`);
          return `Failed listening on port ${port} (tcp), aborting.`;
        }
      }
    const path = config.text("unixsocket");
    if (path !== "")
      try {
        this.listeners.push(listen<Client>({ path, accept, handler: this.ingest.handler }));
      } catch (error) {
        return `Failed opening Unix socket: bind: ${strerror(error)}`;
      }
    return null;
  }

  stop(): void {
    for (const listener of this.listeners) listener.close();
    for (const client of this.dispatcher.clients.values()) client.conn?.closeAfterFlush();
  }

  private accepted(conn: Conn<Client>): Client | null {
    const { dispatcher, options } = this;
    this.stats.connections++;
    const limit = options.config.number("maxclients");
    if (dispatcher.clients.size >= limit) {
      this.stats.rejected++;
      conn.out.error(ERR.maxClients);
      conn.closeAfterFlush();
      return null;
    }
    const client = new Client(dispatcher.newClientId(), conn, null);
    if (conn.path !== "") client.flags |= FLAG_UNIX;
    if (options.config.text("requirepass") !== "") client.gates |= CLIENT_UNAUTHENTICATED;
    dispatcher.clients.set(client.id, client);
    return client;
  }

  private gone(client: Client): void {
    this.pubsub.forget(client);
    this.dispatcher.clients.delete(client.id);
  }
}

/** A Sentinel has no data: nothing is refused, propagated or written before replies leave. */
const host: Host = {
  refuse: () => null,
  changed: () => {},
  denied: () => null,
  afterUnit: () => {},
  beforeFlush: () => true,
  postpone: () => {},
  overOutputLimit: (client) => {
    const over = client.out.pendingBytes() > OUTPUT_LIMIT_BYTES;
    if (over) client.conn?.terminate();
    return over;
  },
};
/** Redis' hard limit for Pub/Sub clients; a Sentinel's ordinary replies never come near it. */
const OUTPUT_LIMIT_BYTES = 32 * 1024 * 1024;
