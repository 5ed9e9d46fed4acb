/** Where the server listens: every bind address, the unix socket. Cold. Redis server.c listenToPort, with its texts. */
import { chmodSync, existsSync, statSync, unlinkSync } from "node:fs";
import { strerror } from "../bytes/errno.ts";
import type { Client } from "../clients/client.ts";
import type { ConnHandler } from "../net/conn.ts";
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

export class Listeners {
  private readonly server: Server;
  private readonly handler: ConnHandler<Client>;
  /** By "address:port", as they were asked for; the unix socket by its path. */
  private readonly open: Map<string, Listener>;
  info: ListenerInfo[];

  constructor(server: Server, handler: ConnHandler<Client>) {
    this.server = server;
    this.handler = handler;
    this.open = new Map();
    this.info = [];
  }

  /**
   * Brings the open sockets to what the configuration names: what is open already stays, what is named no more closes, then the new ones
   * open. Null, or the reason why not; another call with the old configuration brings the old ones back.
   * An address with a leading `-` may be missing on this machine.
   */
  start(): string | null {
    const { config } = this.server;
    const port = config.number("port");
    const path = config.text("unixsocket");
    const wanted = new Set(port > 0 ? config.special("bind").map((entry) => `${addressOf(entry)}:${port}`) : []);
    if (path !== "") wanted.add(path);
    for (const [key, listener] of this.open) {
      if (wanted.has(key)) continue;
      listener.close();
      this.open.delete(key);
    }
    const info: ListenerInfo[] = [];
    if (port > 0) {
      const tcp = this.startTcp(port);
      if (typeof tcp === "string") return tcp;
      info.push(tcp);
      this.server.ports.tcp = tcp.port;
    }
    if (path !== "") {
      const failed = this.startUnix(path);
      if (failed !== null) return failed;
      info.push({ name: "unix", port: 0, binds: [path] });
    }
    this.info = info;
    return null;
  }

  private startTcp(port: number): ListenerInfo | string {
    const { config, log } = this.server;
    const binds: string[] = [];
    for (const entry of config.special("bind")) {
      const address = addressOf(entry);
      const key = `${address}:${port}`;
      if (!this.open.has(key)) {
        try {
          const hostname = hostOf(address);
          const accept = (): Client => null as unknown as Client;
          this.open.set(key, listen<Client>({ hostname, port, ipv6Only: true, accept, handler: this.handler }));
        } catch (error) {
          const code = (error as { code?: string }).code ?? "";
          if (entry.startsWith("-") && (code === "EADDRNOTAVAIL" || code === "EAFNOSUPPORT")) continue;
          // A machine without IPv6 still serves IPv4.
          if (address === "::*" && code === "EAFNOSUPPORT") continue;
          log.warning(`Warning: Could not create server TCP listening socket ${address}:${port}: bind: ${strerror(error)}`);
          return `Failed listening on port ${port} (tcp), aborting.`;
        }
      }
      binds.push(entry);
    }
    // `bind ""` is a wish: nobody connects over TCP.
    const none = binds.length === 0 && config.special("bind").length > 0;
    return none ? `Failed listening on port ${port} (tcp), aborting.` : { name: "tcp", port, binds };
  }

  private startUnix(path: string): string | null {
    if (this.open.has(path)) return null;
    try {
      // A socket file left behind by a crash is replaced; anything else is not ours to remove.
      if (existsSync(path) && statSync(path).isSocket()) unlinkSync(path);
      this.open.set(path, listen<Client>({ path, accept: () => null as unknown as Client, handler: this.handler }));
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
    for (const l of this.open.values()) {
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
