/**
 * What becomes of requests that are under way when their server is lost (notes 3.2): never sent, or without effect: sent again; open
 * transactions: told again; what may have been executed: -UNKNOWNRESULT in its place. COLD: once a failover.
 */
import type { ClientState } from "./core/client_state.ts";
import { CLASS, type InFlight, LOCAL, type Loss, QUEUED, SWALLOW } from "./core/in_flight.ts";
import * as is from "./core/request_class.ts";
import { encodeRequest } from "./core/request_scan.ts";

const UNKNOWN = Buffer.from("-UNKNOWNRESULT may or may not have been executed (failover)\r\n");
const OK = Buffer.from("+OK\r\n");
const QUEUED_REPLY = Buffer.from("+QUEUED\r\n");
const ZERO = Buffer.from(":0\r\n");
const NIL_ARRAY = Buffer.from("*-1\r\n");
const NULL_3 = Buffer.from("_\r\n");
export const DISCARD = encodeRequest(["DISCARD"]);

/** The nil that an aborted EXEC is answered with. */
export function nilOf(protocol: number): Buffer {
  return protocol === 3 ? NULL_3 : NIL_ARRAY;
}

/** An entry that survives its server. */
export interface Kept {
  kind: number;
  bytes: Buffer[] | null;
  local: Buffer | null;
}

/** The entries that go on to the next server, in order; null when a transaction is not kept whole. */
export function sortFlight(flight: InFlight, state: ClientState, loss: Loss): Kept[] | null {
  const kept: Kept[] = [];
  if (state.watching) {
    state.watching = false;
    state.dirty = true;
  }
  let at = flight.headAt;
  let block: Kept[] = [];
  let locals = 0;
  for (let i = flight.head; i < flight.tail; i++) {
    const kind = flight.kindAt(i);
    const length = flight.lengthAt(i);
    const start = at;
    at += length;
    const answered = i < flight.cursor;
    const cls = kind & CLASS;
    if ((kind & LOCAL) !== 0) {
      if (!answered) kept.push({ kind, bytes: null, local: flight.locals[locals++] ?? UNKNOWN });
      continue;
    }
    if (cls === 0) continue; // restoring, done anew
    const unsent = flight.isUntouched(i, at, loss);
    const bytes = flight.bytes(start, at);
    const again: Kept = { kind: answered ? kind | SWALLOW : kind & ~SWALLOW, bytes, local: null };
    if (cls === is.EXEC) {
      if (!unsent) {
        // The whole may have been executed. What of it has no answer yet gets the one it would have had.
        for (const b of block) if ((b.kind & SWALLOW) === 0) kept.push(local(b.kind, (b.kind & CLASS) === is.MULTI ? OK : QUEUED_REPLY));
        kept.push(local(kind, UNKNOWN));
      } else if (state.dirty) {
        kept.push(...block, { kind: is.DISCARD | SWALLOW, bytes: [DISCARD], local: null });
        kept.push(local(kind, nilOf(state.protocol)));
        state.dirty = false;
      } else kept.push(...block, again);
      block = [];
    } else if ((kind & QUEUED) !== 0) {
      if (bytes === null) return null;
      block.push(again);
    } else if (answered) continue;
    else if (bytes !== null && (unsent || is.mayRepeat(cls, loss.replay))) kept.push(again);
    else if (cls === is.WAIT) kept.push(local(kind, ZERO));
    else kept.push(local(kind, UNKNOWN));
  }
  kept.push(...block);
  return kept;
}

function local(kind: number, answer: Buffer): Kept {
  return { kind: kind & ~(QUEUED | SWALLOW), bytes: null, local: answer };
}
