/** Listening sockets: TCP (IPv4, IPv6), unix, TLS. Errors come back as values with the system's code. */
import type { TLSOptions } from "bun";
import { Conn, callbacks, type ConnHandler } from "./conn.ts";
import { hasPeerCertificate } from "./tls.ts";

export interface ListenOptions<T> {
  /** Address and port, or a unix path. Port 0 picks a free one. */
  hostname?: string;
  port?: number;
  path?: string;
  /** An inherited descriptor that listens already. */
  fd?: number;
  /** With requestCert and without rejectUnauthorized clients need no certificate, but may not show a bad one. */
  tls?: TLSOptions;
  /** An IPv6 address leaves the IPv4 ones of the same port alone. */
  ipv6Only?: boolean;
  /** Several processes or workers may share the port. */
  reusePort?: boolean;
  /** Makes the owner's object for an accepted connection; called before handler.open. */
  accept(): T;
  handler: ConnHandler<T>;
}

/** A peer that does not get its hands shaken in this time goes. */
const HANDSHAKE_SECONDS = 60;

export interface Listener {
  readonly hostname: string;
  readonly port: number;
  readonly path: string;
  /** Stops accepting; open connections stay. */
  close(): void;
}

/** Starts listening. Throws an Error with `code` (EADDRINUSE, EADDRNOTAVAIL, EACCES, ...): the caller words the message. */
export function listen<T>(options: ListenOptions<T>): Listener {
  const { accept, handler } = options;
  const optional = options.tls?.requestCert === true && options.tls.rejectUnauthorized === false;
  const socket = {
    ...callbacks,
    open(s: any): void {
      const conn = new Conn<T>(undefined as T, handler);
      conn.path = options.path ?? "";
      s.data = conn;
      conn.data = accept();
      s.setNoDelay?.(true);
      if (!options.tls) callbacks.open(s);
      else s.timeout(HANDSHAKE_SECONDS);
    },
    // With TLS the owner sees the connection once hands are shaken.
    ...(options.tls
      ? {
          handshake(s: any, good: boolean, error: Error | null): void {
            s.timeout(0);
            // A certificate that need not be shown must still be good when it is.
            const bad = optional && error !== null && hasPeerCertificate(s);
            if (good && !bad) callbacks.open(s);
            else s.terminate();
          },
          timeout(s: any): void {
            s.terminate();
          },
        }
      : {}),
  };
  const common = { socket, allowHalfOpen: true, ...(options.tls ? { tls: options.tls } : {}) };
  const server: any =
    options.fd !== undefined
      ? Bun.listen<Conn<T>>({ fd: options.fd, ...common } as any)
      : options.path !== undefined
        ? Bun.listen<Conn<T>>({ unix: options.path, ...common } as any)
        : Bun.listen<Conn<T>>({
            hostname: options.hostname ?? "0.0.0.0",
            port: options.port ?? 0,
            reusePort: options.reusePort ?? false,
            ipv6Only: options.ipv6Only ?? false,
            ...common,
          } as any);
  return {
    hostname: options.hostname ?? "",
    port: server.port ?? 0,
    path: options.path ?? "",
    close() {
      server.stop(false);
    },
  };
}
