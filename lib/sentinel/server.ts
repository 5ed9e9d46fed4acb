/**
 * Sentinel's own port: listeners, clients, the command table. COLD (a Sentinel serves a handful of clients).
 *
 *   socket --lib/clients--> rows of the command table --> commands.ts (INFO, ROLE, ...) and lib/clients' own (PING, SUBSCRIBE, CLIENT, ...)
 *                                                    \--> driver.command (SENTINEL, PUBLISH) --> engine --> the answer, now or later
 */
import { isIP } from "node:net";
import type { TLSOptions } from "bun";
import { strerror } from "../bytes/errno.ts";
import { followAclConfig } from "../clients/acl/configure.ts";
import { bindRows } from "../clients/bind.ts";
import { BLOCKED_ON_OTHER } from "../clients/blocking.ts";
import type { Call } from "../clients/call.ts";
import type { Client } from "../clients/client.ts";
import { plainMode } from "../clients/mode.ts";
import { Service } from "../clients/service.ts";
import { defaultSettings, type ClientSettings } from "../clients/settings.ts";
import type { Tls } from "../clients/tls.ts";
import { commandRuns, helpReply } from "../commands/command_info.ts";
import { rowTable } from "../commands/table/index.ts";
import type { Config } from "../config/config.ts";
import type { Log } from "../log/log.ts";
import { listen, type Listener } from "../net/listen.ts";
import { writeAnswer } from "./answer.ts";
import { ownRuns } from "./commands.ts";
import type { Answer } from "./core/types.ts";
import type { SentinelEngine } from "./core/engine.ts";
import type { Driver } from "./driver.ts";
import { serveMetrics } from "./metrics.ts";
import type { Page } from "./page_data.ts";
import { resolveName } from "./resolve.ts";
import type { ScriptQueue } from "./scripts.ts";

export interface SentinelServerOptions {
  config: Config;
  log: Log;
  tls: Tls;
  driver: Driver;
  engine: SentinelEngine;
  scripts: ScriptQueue;
  /** SHUTDOWN. */
  shutdown(): void;
}

const CRON_MS = 100;

export class SentinelServer {
  readonly options: SentinelServerOptions;
  readonly service: Service;
  readonly startedMs: number;
  private readonly settings: ClientSettings;
  private listeners: Listener[];
  private cron: ReturnType<typeof setInterval> | null;

  constructor(options: SentinelServerOptions) {
    this.options = options;
    this.settings = { ...defaultSettings(), sentinel: true };
    this.service = new Service({ ...plainMode(), timedOut: (client) => client.out.nil() }, this.settings, options.log);
    this.startedMs = Date.now();
    this.listeners = [];
    this.cron = null;
    this.configure();
    this.bind();
  }

  private configure(): void {
    const { config, driver } = this.options;
    const { settings, service } = this;
    config.watch(["maxclients", "timeout", "tcp-keepalive", "protected-mode", "client-query-buffer-limit", "proto-max-bulk-len"], () => {
      settings.maxClients = config.number("maxclients");
      settings.timeoutSeconds = config.number("timeout");
      settings.tcpKeepaliveSeconds = config.number("tcp-keepalive");
      settings.protectedMode = config.bool("protected-mode");
      settings.queryBufferLimitBytes = config.number("client-query-buffer-limit");
      settings.maxBulkBytes = config.number("proto-max-bulk-len");
      service.configure();
    });
    followAclConfig(service, config);
    config.watch("requirepass", () => driver.feed({ kind: "settings", requirepass: config.text("requirepass") }));
  }

  /** Rows of the table to functions. */
  private bind(): void {
    const { dispatcher } = this.service;
    const table = rowTable("sentinel");
    const renamed = new Map(this.options.config.renames.map(([from, to]) => [from.toLowerCase(), to.toLowerCase()]));
    const engine: Record<string, (call: Call) => void> = { publish: (call) => this.ask(call, "PUBLISH") };
    for (const row of table.get("sentinel")!.subcommands!)
      if (row.shortName !== "help") engine[row.name] = (call) => this.ask(call, "SENTINEL");
    const runs = { ...this.service.commands(), ...commandRuns(table), ...engine, ...ownRuns(this) };
    bindRows(dispatcher, table.rows, runs, { help: (row, call) => helpReply(row, call.out), renamed });
    // Clients say QUIT to a Sentinel as well; the original refuses it.
    dispatcher.bind(rowTable("all").get("quit")!, runs["quit"]);
  }

  // ---- the engine's commands

  private ask(call: Call, word: string): void {
    const args: string[] = [word];
    for (let i = 1; i < call.argc; i++) args.push(call.text(i));
    const name = args[1].toLowerCase() === "monitor" ? args[3] : "";
    if (name === "" || isIP(name) !== 0) return this.hand(call.client, args);
    // The engine waits for nobody: a name is looked up first.
    const { driver } = this.options;
    const { client } = call;
    this.wait(client);
    void resolveName(name).then((ip) => {
      if (ip !== null) driver.feed({ kind: "resolved", host: name, ip });
      driver.command(args, (answer) => this.answerLater(client, answer));
    });
  }

  /** The answer mostly comes within the call; if not, the client waits for it and so do its further requests. */
  private hand(client: Client, args: string[]): void {
    let within = true;
    let answered = false;
    this.options.driver.command(args, (answer) => {
      answered = true;
      if (within) writeAnswer(client.out, answer);
      else this.answerLater(client, answer);
    });
    within = false;
    if (!answered) this.wait(client);
  }

  private wait(client: Client): void {
    this.service.blocking.blockOn(client, BLOCKED_ON_OTHER, 0);
  }
  private answerLater(client: Client, answer: Answer): void {
    if (!this.service.dispatcher.clients.has(client.id)) return;
    writeAnswer(client.out, answer);
    this.service.blocking.unblock(client);
  }

  /** An event for its subscribers. */
  publish(channel: string, payload: string): void {
    this.service.pubsub.publish(Buffer.from(channel, "latin1"), Buffer.from(payload, "latin1"));
  }

  // ---- listening

  /** Opens every address of `bind`, and the unix socket. The text of the failure, or null. */
  start(): string | null {
    const { config, log, tls } = this.options;
    const handler = this.service.ingest.handler;
    const accept = (): Client => null as unknown as Client;
    const open =
      (port: number, tls: TLSOptions | null) =>
      (hostname: string): Listener =>
        listen<Client>({ hostname, port, accept, handler, ...(tls === null ? {} : { tls }) });
    const [plain, secure] = [config.number("port"), config.number("tls-port")];
    const failed = this.onEveryAddress(plain, "tcp", open(plain, null)) ?? this.onEveryAddress(secure, "tls", open(secure, tls.listening));
    if (failed !== null) return failed;
    const path = config.text("unixsocket");
    try {
      if (path !== "") this.listeners.push(listen<Client>({ path, accept, handler }));
    } catch (error) {
      log.warning(`Failed opening Unix socket: bind: ${strerror(error)}`);
      return "Failed opening Unix socket";
    }
    this.cron = setInterval(() => this.service.cron(), CRON_MS);
    return null;
  }

  /** `sentinel metrics-port`, 0 for none. As start(). */
  startMetrics(port: number, page: () => string, dashboard: (path: string) => Page | null): string | null {
    return this.onEveryAddress(port, "tcp", (hostname) => serveMetrics(hostname, port, page, dashboard));
  }

  private onEveryAddress(port: number, kind: "tcp" | "tls", open: (hostname: string) => Listener): string | null {
    const { config, log } = this.options;
    let opened = 0;
    for (const word of port === 0 ? [] : config.special("bind")) {
      const optional = word.startsWith("-");
      const address = optional ? word.slice(1) : word;
      const hostname = address === "*" ? "0.0.0.0" : address === "::*" ? "::" : address;
      try {
        this.listeners.push(open(hostname));
        opened++;
      } catch (error) {
        const { code } = error as { code?: string };
        if (optional && (code !== "EADDRINUSE" || opened > 0)) continue;
        log.warning(`Warning: Could not create server TCP listening socket ${address}:${port}: bind: ${strerror(error)}`);
        return `Failed listening on port ${port} (${kind}), aborting.`;
      }
    }
    return null;
  }

  stop(): void {
    if (this.cron !== null) clearInterval(this.cron);
    for (const listener of this.listeners) listener.close();
    for (const client of this.service.dispatcher.clients.values()) client.conn?.closeAfterFlush();
  }
}
