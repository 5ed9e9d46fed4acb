/**
 * Connections that a proxy has passed on: before anything else they may say in a PROXY header who the client is. Once a connection, then
 * out of the way: the owner's handler takes the connection over, with the addresses of the header.
 *
 *   accepted --from a trusted address?--> header (or the first bytes of something else) --> owner.open, owner.data
 *            \--no--> owner.open
 *
 * A trusted peer that sends no header speaks for itself: the proxy's own checks, and clients on its machine. Leaves out TLS, where the
 * header would come before the handshake.
 */
import { BlockList, isIP } from "node:net";
import type { Conn, ConnHandler } from "./conn.ts";
import { readProxyHeader } from "./proxy_protocol.ts";

/** How long the first bytes of a connection from a trusted address may take: until then nobody knows whose it is. */
const HEADER_MS = 60_000;

/** A list of addresses and ranges, as `::1` and `10.0.0.0/8`; the configuration has looked at them. */
export function addressRanges(ranges: readonly string[]): BlockList {
  const list = new BlockList();
  for (const range of ranges) {
    const [address, bits] = range.split("/");
    const four = isIP(address) === 4;
    list.addSubnet(address, Number(bits ?? (four ? 32 : 128)), four ? "ipv4" : "ipv6");
  }
  return list;
}

/** True when the address lies in one of the ranges. */
export function isWithin(list: BlockList, address: string): boolean {
  const family = isIP(address);
  return family !== 0 && list.check(address, family === 4 ? "ipv4" : "ipv6");
}

/** `owner` for connections that may come through a proxy; `trusts` is asked for each accepted one. */
export function behindProxy<T>(owner: ConnHandler<T>, trusts: (address: string) => boolean): ConnHandler<T> {
  return {
    ...owner,
    open(conn) {
      conn.handler = owner;
      if (trusts(conn.remoteAddress)) awaitHeader(conn, owner);
      else owner.open(conn);
    },
  };
}

function awaitHeader<T>(conn: Conn<T>, owner: ConnHandler<T>): void {
  let held: Buffer = Buffer.alloc(0);
  const timer = setTimeout(() => conn.terminate(), HEADER_MS);
  conn.handler = {
    open() {},
    data(_conn, chunk) {
      held = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
      const header = readProxyHeader(held);
      if (header === "more") return;
      clearTimeout(timer);
      conn.handler = owner;
      if (header !== "bad") {
        if (header.source !== null && header.destination !== null) {
          conn.remoteAddress = header.source.host;
          conn.remotePort = header.source.port;
          conn.localAddress = header.destination.host;
          conn.localPort = header.destination.port;
        }
        held = held.subarray(header.length);
      }
      owner.open(conn);
      if (held.length > 0 && conn.isOpen) owner.data(conn, held);
    },
    drained() {},
    end: () => conn.terminate(),
    close: () => clearTimeout(timer),
  };
}
