/** Where the server listens: every bind address with and without TLS, the unix socket. Cold. Redis server.c listenToPort, with its texts. */
import type { BlockList } from "node:net";
import { chmodSync, existsSync, statSync, unlinkSync } from "node:fs";
import { strerror } from "../bytes/errno.ts";
import type { TLSOptions } from "bun";
import type { Client } from "../clients/client.ts";
import type { Tls } from "../clients/tls.ts";
import type { ConnHandler } from "../net/conn.ts";
import { addressRanges, behindProxy, isWithin } from "../net/behind_proxy.ts";
import { listen, type Listener } from "../net/listen.ts";
import type { Server } from "./server.ts";

export interface ListenerInfo {
  /** tcp, tls, unix: INFO's listenerN. */
  name: string;
  port: number;
  binds: string[];
}

/** `*` is every IPv4 address, `::*` and `::` every IPv6 one. */
function hostOf(address: string): string {
  if (address === "*") return "0.0.0.0";
  return address === "::*" ? "::" : address;
}

function addressOf(entry: string): string {
  return entry.startsWith("-") ? entry.slice(1) : entry;
}

/** An open socket, and the TLS options it was opened with (null: none): with others it has to be opened anew. */
interface Open {
  readonly listener: Listener;
  readonly tls: TLSOptions | null;
}

export class Listeners {
  private readonly server: Server;
  private readonly tls: Tls;
  private readonly handler: ConnHandler<Client>;
  /** The same, for connections that a proxy may have passed on: those without TLS. */
  private readonly plain: ConnHandler<Client>;
  /** proxy-protocol-from; null: no proxy is believed. */
  private proxies: BlockList | null;
  /** By "address:port", as they were asked for; the unix socket by its path. */
  private readonly open: Map<string, Open>;
  info: ListenerInfo[];

  constructor(server: Server, tls: Tls, handler: ConnHandler<Client>) {
    this.server = server;
    this.tls = tls;
    this.handler = handler;
    this.plain = behindProxy(handler, (address) => this.proxies !== null && isWithin(this.proxies, address));
    this.proxies = null;
    server.config.watch("proxy-protocol-from", (c) => {
      const ranges = c.special("proxy-protocol-from");
      this.proxies = ranges.length === 0 ? null : addressRanges(ranges);
    });
    this.open = new Map();
    this.info = [];
  }

  /**
   * Brings the open sockets to what the configuration names: what is open already stays, what is named no more closes, then the new ones
   * open. Null, or the reason why not; another call with the old configuration brings the old ones back.
   * An address with a leading `-` may be missing on this machine.
   */
  start(): string | null {
    const { config, ports } = this.server;
    const path = config.text("unixsocket");
    const kinds = [
      { name: "tcp" as const, port: config.number("port"), tls: null },
      { name: "tls" as const, port: config.number("tls-port"), tls: this.tls.listening },
    ].filter((kind) => kind.port > 0);
    const wanted = new Map<string, TLSOptions | null>();
    for (const { port, tls } of kinds) for (const entry of config.special("bind")) wanted.set(`${addressOf(entry)}:${port}`, tls);
    if (path !== "") wanted.set(path, null);
    for (const [key, { listener, tls }] of this.open) {
      if (wanted.get(key) === tls) continue;
      listener.close();
      this.open.delete(key);
    }
    const info: ListenerInfo[] = [];
    ports.tcp = ports.tls = 0;
    for (const { name, port, tls } of kinds) {
      const started = this.startTcp(name, port, tls);
      if (typeof started === "string") return started;
      info.push(started);
      ports[name] = port;
    }
    if (path !== "") {
      const failed = this.startUnix(path);
      if (failed !== null) return failed;
      info.push({ name: "unix", port: 0, binds: [path] });
    }
    this.info = info;
    return null;
  }

  private startTcp(name: "tcp" | "tls", port: number, tls: TLSOptions | null): ListenerInfo | string {
    const { config, log } = this.server;
    const binds: string[] = [];
    for (const entry of config.special("bind")) {
      const address = addressOf(entry);
      const key = `${address}:${port}`;
      if (!this.open.has(key)) {
        try {
          const hostname = hostOf(address);
          const accept = (): Client => null as unknown as Client;
          const options = {
            hostname,
            port,
            ipv6Only: true,
            accept,
            handler: tls === null ? this.plain : this.handler,
            ...(tls === null ? {} : { tls }),
          };
          this.open.set(key, { listener: listen<Client>(options), tls });
        } catch (error) {
          const code = (error as { code?: string }).code ?? "";
          if (entry.startsWith("-") && (code === "EADDRNOTAVAIL" || code === "EAFNOSUPPORT")) continue;
          // A machine without IPv6 still serves IPv4.
          if (address === "::*" && code === "EAFNOSUPPORT") continue;
          log.warning(`Warning: Could not create server TCP listening socket ${address}:${port}: bind: ${strerror(error)}`);
          return `Failed listening on port ${port} (${name}), aborting.`;
        }
      }
      binds.push(entry);
    }
    // `bind ""` is a wish: nobody connects over TCP.
    const none = binds.length === 0 && config.special("bind").length > 0;
    return none ? `Failed listening on port ${port} (${name}), aborting.` : { name, port, binds };
  }

  private startUnix(path: string): string | null {
    if (this.open.has(path)) return null;
    try {
      // A socket file left behind by a crash is replaced; anything else is not ours to remove.
      if (existsSync(path) && statSync(path).isSocket()) unlinkSync(path);
      const listener = listen<Client>({ path, accept: () => null as unknown as Client, handler: this.handler });
      this.open.set(path, { listener, tls: null });
      const mode = this.server.config.number("unixsocketperm");
      if (mode !== 0) chmodSync(path, mode);
      return null;
    } catch (error) {
      this.server.log.warning(`Failed opening Unix socket: bind: ${strerror(error)}`);
      return "Failed opening Unix socket";
    }
  }

  /** Stops accepting; clients stay. Removes the unix socket's file. */
  close(): void {
    for (const { listener: l } of this.open.values()) {
      l.close();
      if (l.path !== "") {
        try {
          unlinkSync(l.path);
        } catch {
          // gone already
        }
      }
    }
    this.open.clear();
  }
}
