/** List commands that may wait, and LMPOP: BLPOP, BRPOP, BLMOVE, BRPOPLPUSH, BLMPOP. Warm. Redis t_list.c. */
import type { Blocking } from "../clients/blocking.ts";
import type { Call } from "../clients/call.ts";
import type { Run } from "../clients/command.ts";
import { ERR, errorLine } from "../resp/errors.ts";
import { LIST, typeOf } from "../store/entry.ts";
import { gotB, gotEnd, gotStart, listEnd, listLength, listRemoveEnd } from "../store/list.ts";
import { keyspaceOf } from "./effects.ts";
import { HEAD, TAIL, elementsLeft, moveElement, popMany, sideArg } from "./list.ts";
import { mayBlock, timeoutArg } from "./timeout.ts";

const NUMKEYS = errorLine("ERR numkeys should be greater than 0");
const COUNT = errorLine("ERR count should be greater than 0");

let ready = 0;
/** First of the arguments [from, to) that is a list: its index, `ready` is its ref; 0 for none, -1 after a WRONGTYPE reply. */
function firstReady(c: Call, from: number, to: number): number {
  const ks = keyspaceOf(c);
  for (let i = from; i < to; i++) {
    const ref = ks.lookupWrite(c.buf, c.s(i), c.e(i));
    if (ref === 0) continue;
    if (typeOf(ref) !== LIST) {
      c.out.error(ERR.wrongType);
      return -1;
    }
    ready = ref;
    return i;
  }
  return 0;
}
function keyNames(c: Call, from: number, to: number): string[] {
  const names: string[] = [];
  for (let i = from; i < to; i++) names.push(c.text(i));
  return names;
}

function bpop(c: Call, from: number, blocking: Blocking): void {
  const timeoutMs = timeoutArg(c, c.argc - 1);
  if (timeoutMs !== timeoutMs) return;
  const i = firstReady(c, 1, c.argc - 1);
  if (i < 0) return;
  if (i > 0) {
    const ks = keyspaceOf(c);
    c.out.array(2);
    c.out.bulk(c.buf, c.s(i), c.e(i));
    listEnd(ready, from === TAIL);
    c.out.bulk(gotB, gotStart, gotEnd);
    elementsLeft(c, ks, listRemoveEnd(ks, ready, from === TAIL), i, from, 1);
    return c.rewrite(from === HEAD ? "LPOP" : "RPOP", c.view(i));
  }
  if (!mayBlock(c)) return c.out.nilArray();
  blocking.block(c, keyNames(c, 1, c.argc - 1), LIST, timeoutMs);
}

/** BLMOVE and BRPOPLPUSH: waits for the list at argument 1. */
function bmove(c: Call, from: number, to: number, timeoutAt: number, blocking: Blocking): void {
  const timeoutMs = timeoutArg(c, timeoutAt);
  if (timeoutMs !== timeoutMs) return;
  if (moveElement(c, from, to)) {
    if (c.dirty > 0) {
      if (timeoutAt === 3) c.rewrite("RPOPLPUSH", c.view(1), c.view(2));
      else c.rewrite("LMOVE", c.view(1), c.view(2), c.view(3), c.view(4));
    }
    return;
  }
  if (!mayBlock(c)) return c.out.nil();
  blocking.block(c, [c.text(1)], LIST, timeoutMs);
}

/** LMPOP numkeys key ... LEFT|RIGHT [COUNT n]; with a timeout before it BLMPOP. */
function mpop(c: Call, at: number, timeoutMs: number, blocking: Blocking | null): void {
  const n = c.wideInteger(at);
  if (n !== n || n <= 0) return c.out.error(NUMKEYS);
  const where = at + 1 + n;
  if (where >= c.argc) return c.out.error(ERR.syntax);
  const from = sideArg(c, where);
  if (from < 0) return;
  let count = 1;
  let counted = false;
  for (let i = where + 1; i < c.argc; i += 2) {
    if (counted || !c.is(i, "count") || i + 1 >= c.argc) return c.out.error(ERR.syntax);
    count = c.wideInteger(i + 1);
    if (count !== count || count <= 0) return c.out.error(COUNT);
    counted = true;
  }
  const i = firstReady(c, at + 1, where);
  if (i < 0) return;
  if (i > 0) {
    const popped = Math.min(count, listLength(ready));
    c.out.array(2);
    c.out.bulk(c.buf, c.s(i), c.e(i));
    popMany(c, i, ready, count, from);
    return c.rewrite(from === HEAD ? "LPOP" : "RPOP", c.view(i), popped);
  }
  if (blocking === null || !mayBlock(c)) return c.out.nilArray();
  blocking.block(c, keyNames(c, at + 1, where), LIST, timeoutMs);
}

export function listWaitRuns(blocking: Blocking): Record<string, Run> {
  return {
    blpop: (c) => bpop(c, HEAD, blocking),
    brpop: (c) => bpop(c, TAIL, blocking),
    blmove: (c) => {
      const from = sideArg(c, 3);
      if (from < 0) return;
      const to = sideArg(c, 4);
      if (to >= 0) bmove(c, from, to, 5, blocking);
    },
    brpoplpush: (c) => bmove(c, TAIL, HEAD, 3, blocking),
    lmpop: (c) => mpop(c, 1, 0, null),
    blmpop: (c) => {
      const timeoutMs = timeoutArg(c, 1);
      if (timeoutMs === timeoutMs) mpop(c, 2, timeoutMs, blocking);
    },
  };
}
