/** Outgoing connections: TCP, unix, TLS, with a deadline. The Conn exists at once; open or failed follows. */
import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import type { TLSOptions } from "bun";
import { Conn, callbacks, type ConnHandler } from "./conn.ts";
import { acceptsPeer, peerCheckOf, type PeerCheck } from "./tls.ts";

export interface DialOptions<T> {
  hostname?: string;
  port?: number;
  path?: string;
  /** `rejectUnauthorized: false` takes any certificate; with a `checkServerIdentity` only its chain is checked, not the name. */
  tls?: TLSOptions | boolean;
  /** Source address. */
  localAddress?: string;
  /** 0 or absent: the system's own limit. */
  timeoutMs?: number;
  data: T;
  handler: ConnHandler<T>;
  /** No connection came about: refused, unreachable, timed out (code ETIMEDOUT), aborted by conn.terminate(). Called at most once, never after open. */
  failed(conn: Conn<T>, error: Error): void;
}

/** The first address of a name as the system's resolver has it, IPv4 ones first. Rejects with the resolver's error. */
export async function addressOf(hostname: string): Promise<string> {
  const found = await lookup(hostname, { all: true });
  return (found.find((a) => a.family === 4) ?? found[0]).address;
}

/** With TLS the connection is open when hands are shaken, and a failed handshake is a failed connection. */
function tlsEvents<T>(conn: Conn<T>, check: PeerCheck, settle: () => boolean, fail: (error: Error) => void): object {
  return {
    open(s: any): void {
      s.setNoDelay?.(true);
    },
    handshake(s: any, good: boolean, error: Error | null): void {
      if (!good && !(error !== null && acceptsPeer(check, error))) {
        fail(error ?? new Error("TLS handshake failed"));
        s.terminate();
      } else if (settle()) callbacks.open(s);
      else s.terminate();
    },
    close(s: any, error?: Error): void {
      if (!conn.isOpen) fail(error ?? new Error("Connection closed during the TLS handshake"));
      callbacks.close(s, error);
    },
  };
}

/** Starts connecting. `cancel` gives up silently while connecting and is a no-op afterwards. */
export function dial<T>(options: DialOptions<T>): { conn: Conn<T>; cancel(): void } {
  const conn = new Conn<T>(options.data, options.handler);
  conn.path = options.path ?? "";
  let settled = false;
  let timer: ReturnType<typeof setTimeout> | null = null;
  const settle = (): boolean => {
    if (settled) return false;
    settled = true;
    if (timer !== null) clearTimeout(timer);
    return true;
  };
  const fail = (error: Error): void => {
    if (settle()) options.failed(conn, error);
  };
  const socket = {
    ...callbacks,
    open(s: any): void {
      if (!settle()) {
        s.terminate();
        return;
      }
      s.setNoDelay?.(true);
      callbacks.open(s);
    },
    ...(options.tls ? tlsEvents(conn, peerCheckOf(options.tls), settle, fail) : {}),
    connectError(_s: unknown, error: Error): void {
      fail(error);
    },
  };
  if (options.timeoutMs !== undefined && options.timeoutMs > 0)
    timer = setTimeout(() => fail(Object.assign(new Error("Connection timed out"), { code: "ETIMEDOUT" })), options.timeoutMs);
  const common: any = { socket, data: conn, allowHalfOpen: true };
  // We judge the certificate ourselves, see tls.ts.
  if (options.tls) common.tls = options.tls === true ? { rejectUnauthorized: false } : { ...options.tls, rejectUnauthorized: false };
  if (options.localAddress) common.localAddress = options.localAddress;
  const connect = (target: { unix: string } | { hostname: string; port: number }): void => {
    if (settled) return;
    try {
      Bun.connect({ ...target, ...common }).catch(fail);
    } catch (error) {
      queueMicrotask(() => fail(error as Error));
    }
  };
  const { hostname = "127.0.0.1", port = 0 } = options;
  if (options.path !== undefined) connect({ unix: options.path });
  else if (isIP(hostname) !== 0) connect({ hostname, port });
  // Bun would try ::1 for localhost whatever the hosts file says; the originals take the system's answer, IPv4 before IPv6.
  else addressOf(hostname).then((address) => connect({ hostname: address, port }), fail);
  return {
    conn,
    cancel() {
      settle();
    },
  };
}
