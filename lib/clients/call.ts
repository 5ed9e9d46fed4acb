/**
 * One running command: its arguments as offsets into the request's bytes, and where its reply goes. HOT.
 * Calls nest (EXEC, scripts, a blocked client served by another's push): one Call object a nesting depth, reused for ever.
 *
 *   Request --dispatch--> Call { buf, at[2i], at[2i+1], argc, out, client } --run(call)--> call.out
 *
 * A command counts its changes in `dirty`; what goes to replicas and AOF is the request's own bytes unless it calls `rewrite`.
 */
import { equalsIgnoreCase } from "../bytes/ascii.ts";
import { parseBigInt64, parseInt64 } from "../bytes/number.ts";
import { ERR } from "../resp/errors.ts";
import type { Out } from "../resp/out.ts";
import type { Client } from "./client.ts";
import type { Command } from "./command.ts";

export class Call {
  /** Who asked. Scripts and the master link have clients of their own. */
  client: Client;
  command: Command;
  buf: Buffer;
  argc: number;
  /** Argument i is buf[at[2i], at[2i+1]). */
  at: Int32Array;
  /** The whole request as a RESP array: buf[start, end). */
  start: number;
  end: number;
  out: Out;
  /** Changes to the data set made by this command (Redis server.dirty's share). */
  dirty: number;
  /** What to propagate in place of the request: null is the request itself. Several are wrapped in MULTI/EXEC. */
  instead: Buffer[] | null;
  /** True: nothing is propagated although dirty. */
  silent: boolean;
  /** 0 for a client's own request, 1 inside EXEC or a script, ... */
  depth: number;

  constructor(depth: number) {
    this.client = null as unknown as Client;
    this.command = null as unknown as Command;
    this.buf = Buffer.alloc(0);
    this.argc = 0;
    this.at = new Int32Array(0);
    this.start = 0;
    this.end = 0;
    this.out = null as unknown as Out;
    this.dirty = 0;
    this.instead = null;
    this.silent = false;
    this.depth = depth;
  }

  /** Start offset of argument i. */
  s(i: number): number {
    return this.at[i * 2];
  }
  /** End offset of argument i. */
  e(i: number): number {
    return this.at[i * 2 + 1];
  }
  len(i: number): number {
    return this.at[i * 2 + 1] - this.at[i * 2];
  }
  /** Argument i as a view: valid until the command returns. */
  view(i: number): Buffer {
    return this.buf.subarray(this.at[i * 2], this.at[i * 2 + 1]);
  }
  /** Argument i copied: may be kept. */
  copy(i: number): Buffer {
    return Buffer.from(this.view(i));
  }
  /** Argument i as a latin1 string (cold). */
  text(i: number): string {
    return this.buf.toString("latin1", this.at[i * 2], this.at[i * 2 + 1]);
  }
  /** Argument i, lower-cased (cold: subcommands, options). */
  lower(i: number): string {
    return this.text(i).toLowerCase();
  }
  /** True when argument i is the option word `lower` in any case. */
  is(i: number, lower: string): boolean {
    return equalsIgnoreCase(this.buf, this.at[i * 2], this.at[i * 2 + 1], lower);
  }
  /** Argument i as an integer within +-2^53, or NaN. Does not reply. */
  integer(i: number): number {
    return parseInt64(this.buf, this.at[i * 2], this.at[i * 2 + 1]);
  }
  /** Argument i as an int64, exact within 2^53 and near it beyond; NaN when it is none. Does not reply. */
  wideInteger(i: number): number {
    const v = this.integer(i);
    if (v === v) return v;
    const wide = parseBigInt64(this.buf, this.s(i), this.e(i));
    return wide === null ? NaN : Number(wide);
  }
  /** As wideInteger; replies `value is not an integer or out of range` and returns NaN when it is none. */
  integerOrFail(i: number): number {
    const v = this.wideInteger(i);
    if (Number.isNaN(v)) this.out.error(ERR.notInteger);
    return v;
  }

  /** Propagates this command (an array of bulks) in place of the request. Several calls make several commands. */
  rewrite(...args: (string | number | Uint8Array)[]): void {
    (this.instead ??= []).push(encodeCommand(args));
  }
}

/** A RESP array of bulks. Strings are latin1. Cold. */
export function encodeCommand(args: (string | number | Uint8Array)[]): Buffer {
  const parts: Buffer[] = [Buffer.from(`*${args.length}\r\n`)];
  for (const a of args) {
    const b =
      typeof a === "string"
        ? Buffer.from(a, "latin1")
        : typeof a === "number"
          ? Buffer.from(String(a))
          : Buffer.from(a.buffer, a.byteOffset, a.byteLength);
    parts.push(Buffer.from(`$${b.length}\r\n`), b, CRLF);
  }
  return Buffer.concat(parts);
}
const CRLF = Buffer.from("\r\n");
