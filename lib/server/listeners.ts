/** Where the server listens: every bind address, the unix socket. Cold. Redis server.c listenToPort, with its texts. */
import { chmodSync, existsSync, statSync, unlinkSync } from "node:fs";
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

export class Listeners {
  private readonly server: Server;
  private readonly handler: ConnHandler<Client>;
  private open: Listener[];
  info: ListenerInfo[];

  constructor(server: Server, handler: ConnHandler<Client>) {
    this.server = server;
    this.handler = handler;
    this.open = [];
    this.info = [];
  }

  /**
   * Opens all sockets that the configuration names. Null, or the reason why not (nothing stays open then).
   * An address with a leading `-` may be missing on this machine.
   */
  start(): string | null {
    const { config, log } = this.server;
    const port = config.number("port");
    const opened: Listener[] = [];
    const info: ListenerInfo[] = [];
    const fail = (text: string): string => {
      for (const l of opened) l.close();
      return text;
    };
    if (port > 0) {
      const binds: string[] = [];
      let actual = port;
      for (const entry of config.special("bind")) {
        const optional = entry.startsWith("-");
        const address = optional ? entry.slice(1) : entry;
        try {
          const l = listen<Client>({
            hostname: hostOf(address),
            port: actual,
            ipv6Only: true,
            accept: () => null as unknown as Client,
            handler: this.handler,
          });
          opened.push(l);
          actual = l.port;
          binds.push(optional ? `-${address}` : address);
        } catch (error) {
          const code = (error as { code?: string }).code ?? "";
          if (optional && (code === "EADDRNOTAVAIL" || code === "EAFNOSUPPORT")) continue;
          // A machine without IPv6 still serves IPv4.
          if (address === "::*" && code === "EAFNOSUPPORT") continue;
          const reason =
            code === "EADDRINUSE"
              ? "Address already in use"
              : code === "EADDRNOTAVAIL"
                ? "Cannot assign requested address"
                : code === "EACCES"
                  ? "Permission denied"
                  : (error as Error).message;
          log.warning(`Warning: Could not create server TCP listening socket ${address}:${port}: bind: ${reason}`);
          return fail(`Failed listening on port ${port} (tcp), aborting.`);
        }
      }
      if (binds.length === 0) return fail(`Failed listening on port ${port} (tcp), aborting.`);
      info.push({ name: "tcp", port: actual, binds });
      this.server.ports.tcp = actual;
    }
    const path = config.text("unixsocket");
    if (path !== "") {
      try {
        // A socket file left behind by a crash is replaced; anything else is not ours to remove.
        if (existsSync(path) && statSync(path).isSocket()) unlinkSync(path);
        opened.push(listen<Client>({ path, accept: () => null as unknown as Client, handler: this.handler }));
        const mode = config.number("unixsocketperm");
        if (mode !== 0) chmodSync(path, mode);
        info.push({ name: "unix", port: 0, binds: [path] });
      } catch (error) {
        log.warning(`Failed opening Unix socket: bind: ${(error as Error).message}`);
        return fail("Failed opening Unix socket");
      }
    }
    for (const l of this.open) l.close();
    this.open = opened;
    this.info = info;
    return null;
  }

  /** Stops accepting; clients stay. Removes the unix socket's file. */
  close(): void {
    for (const l of this.open) {
      l.close();
      if (l.path !== "") {
        try {
          unlinkSync(l.path);
        } catch {
          // gone already
        }
      }
    }
    this.open = [];
  }
}
