/** Outgoing connections: TCP, unix, TLS, with a deadline. The Conn exists at once; open or failed follows. */
import type { TLSOptions } from "bun";
import { Conn, callbacks, type ConnHandler } from "./conn.ts";

export interface DialOptions<T> {
  hostname?: string;
  port?: number;
  path?: string;
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
    connectError(_s: unknown, error: Error): void {
      fail(error);
    },
  };
  if (options.timeoutMs !== undefined && options.timeoutMs > 0)
    timer = setTimeout(() => fail(Object.assign(new Error("Connection timed out"), { code: "ETIMEDOUT" })), options.timeoutMs);
  const common: any = { socket, data: conn, allowHalfOpen: true };
  if (options.tls) common.tls = options.tls;
  if (options.localAddress) common.localAddress = options.localAddress;
  try {
    const promise =
      options.path !== undefined
        ? Bun.connect({ unix: options.path, ...common })
        : Bun.connect({ hostname: options.hostname, port: options.port, ...common });
    promise.catch(fail);
  } catch (error) {
    queueMicrotask(() => fail(error as Error));
  }
  return {
    conn,
    cancel() {
      settle();
    },
  };
}
