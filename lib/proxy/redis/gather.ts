/** One request that several nodes of a cluster answer together: its parts' replies are joined when all are there. WARM. */
import { UNKNOWN, type Owner } from "./shared.ts";

/** How replies become one. */
export type Join =
  /** Every one says OK: +OK. */
  | { kind: "all" }
  /** Integers: their sum. */
  | { kind: "sum" }
  /** Arrays, one after another. */
  | { kind: "concat" }
  /** Arrays whose items belong at these places. */
  | { kind: "place"; places: number[][] }
  /** A SCAN of one node: the cursor gets the node's number in. */
  | { kind: "scan"; node: number; nodes: number };

export class Gather implements Owner {
  due: number;
  isHeavy: boolean;
  readonly pendingBytes: number;
  private readonly owner: Owner;
  private readonly number: number;
  private readonly join: Join;
  private readonly parts: Buffer[];
  private left: number;

  constructor(owner: Owner, number: number, join: Join, count: number) {
    // Never due: replies come whole, through answer().
    this.due = -1;
    this.isHeavy = false;
    this.pendingBytes = 0;
    this.owner = owner;
    this.number = number;
    this.join = join;
    this.parts = new Array<Buffer>(count).fill(UNKNOWN);
    this.left = count;
  }
  get isOver(): boolean {
    return this.owner.isOver;
  }
  get label(): string {
    return this.owner.label;
  }
  reply(): void {}
  settle(): void {}
  choke(shut: boolean): void {
    this.owner.choke(shut);
  }
  refuse(line: Buffer): void {
    this.owner.refuse(line);
  }
  end(flags: string): void {
    this.owner.end(flags);
  }
  answer(part: number, bytes: Buffer): void {
    this.parts[part] = bytes;
    if (--this.left === 0) this.owner.answer(this.number, joined(this.join, this.parts));
  }
}

/** The one reply; an error of a part is the whole's. Pure. */
export function joined(join: Join, parts: readonly Buffer[]): Buffer {
  const error = parts.find((p) => p[0] === 45);
  if (error !== undefined) return error;
  switch (join.kind) {
    case "all":
      return parts[0]!;
    case "sum":
      return Buffer.from(`:${parts.reduce((n, p) => n + Number(p.toString("latin1", 1, p.length - 2)), 0)}\r\n`);
    case "concat": {
      const items = parts.flatMap((p) => itemsOf(p));
      return Buffer.concat([Buffer.from(`*${items.length}\r\n`), ...items]);
    }
    case "place": {
      const all: Buffer[] = [];
      for (const [i, p] of parts.entries()) for (const [j, item] of itemsOf(p).entries()) all[join.places[i]![j]!] = item;
      return Buffer.concat([Buffer.from(`*${all.length}\r\n`), ...all]);
    }
    case "scan":
      return scanned(parts[0]!, join.node, join.nodes);
  }
}

/** Items of an array of bulks, encoded as they are. */
function itemsOf(b: Buffer): Buffer[] {
  const items: Buffer[] = [];
  let p = b.indexOf(10) + 1;
  while (p > 0 && p < b.length) {
    const start = p;
    const line = b.indexOf(10, p) + 1;
    const k = b[p] === 36 ? Number.parseInt(b.toString("latin1", p + 1, line), 10) : -1;
    p = k >= 0 ? line + k + 2 : line;
    items.push(b.subarray(start, p));
  }
  return items;
}

/** What a client's cursor means: a node, and that node's own cursor. */
export function scanCursor(cursor: bigint, nodes: number): { node: number; inner: bigint } {
  return { node: Number(cursor % BigInt(nodes)), inner: cursor / BigInt(nodes) };
}
function scanned(reply: Buffer, node: number, nodes: number): Buffer {
  const at = reply.indexOf(10) + 1;
  const line = reply.indexOf(10, at) + 1;
  const k = Number.parseInt(reply.toString("latin1", at + 1, line), 10);
  const inner = BigInt(reply.toString("latin1", line, line + k));
  const next = inner !== 0n ? inner * BigInt(nodes) + BigInt(node) : node + 1 < nodes ? BigInt(node + 1) : 0n;
  const text = String(next);
  return Buffer.concat([reply.subarray(0, at), Buffer.from(`$${text.length}\r\n${text}\r\n`), reply.subarray(line + k + 2)]);
}
