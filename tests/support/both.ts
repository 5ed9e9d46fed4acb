/**
 * The same commands to the original Redis and to redisha, equal replies: the differential harness.
 *
 *   const both = await Both.start();
 *   await both.do("SET", "a", 1);               // throws with both answers when they differ
 *   await both.sorted("SMEMBERS", "s");         // order is free
 *   await both.kind("RANDOMKEY");               // only the type of the reply counts
 *
 * RESP2 and RESP3: pass 3 to start. An expected difference (7.2 against 7.0) goes through `differs` with its reason.
 */
import { startServer, type Program } from "./programs.ts";
import { startThrough } from "./through.ts";
import { Wire } from "./wire.ts";

type Arg = string | number | Buffer;

export class Both {
  readonly original: Program;
  readonly ours: Program;
  wires: [Wire, Wire];

  private constructor(original: Program, ours: Program, wires: [Wire, Wire]) {
    this.original = original;
    this.ours = ours;
    this.wires = wires;
  }

  static async start(resp: 2 | 3 = 2, conf: Record<string, string | number | (string | number)[]> = {}): Promise<Both> {
    const original = await startServer("redis", conf);
    const ours = await startThrough("redisha", conf);
    const both = new Both(original, ours, [await Wire.connect(original.port), await Wire.connect(ours.port)]);
    if (resp === 3) for (const w of both.wires) await w.do("HELLO", 3);
    return both;
  }

  /** Another pair of connections. */
  async pair(): Promise<[Wire, Wire]> {
    return [await Wire.connect(this.original.port), await Wire.connect(this.ours.port)];
  }

  private async ask(args: Arg[]): Promise<[string, string]> {
    const [a, b] = await Promise.all([this.wires[0].do(...args), this.wires[1].do(...args)]);
    return [a, b];
  }
  private static fail(args: Arg[], a: string, b: string): never {
    const error = new Error(`${args.map(String).join(" ").slice(0, 300)}\n  redis:   ${a.slice(0, 2000)}\n  redisha: ${b.slice(0, 2000)}`);
    Error.captureStackTrace(error, Both.fail);
    throw error;
  }

  /** Equal to the byte; returns the reply. */
  async do(...args: Arg[]): Promise<string> {
    const [a, b] = await this.ask(args);
    if (a !== b) Both.fail(args, a, b);
    return b;
  }
  /** Equal after sorting the elements of the (outermost) array, set or map. */
  async sorted(...args: Arg[]): Promise<string> {
    const [a, b] = await this.ask(args);
    if (sortItems(a) !== sortItems(b)) Both.fail(args, a, b);
    return b;
  }
  /** Equal type and, for arrays, length. */
  async kind(...args: Arg[]): Promise<string> {
    const [a, b] = await this.ask(args);
    if (shape(a) !== shape(b)) Both.fail(args, a, b);
    return b;
  }
  /** A known difference: `want` is ours; the reason stands in the test for the reader. */
  async differs(_reason: string, want: string | RegExp, ...args: Arg[]): Promise<string> {
    const [a, b] = await this.ask(args);
    if (typeof want === "string" ? b !== want : !want.test(b)) Both.fail(args, a, b);
    return b;
  }
  /** An error on both sides, equal and containing `part`. */
  async error(part: string, ...args: Arg[]): Promise<void> {
    const r = await this.do(...args);
    if (!r.startsWith("-") || !r.includes(part)) Both.fail(args, r, `wanted an error with "${part}"`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const w of this.wires) w.close();
    await this.original[Symbol.asyncDispose]();
    await this.ours[Symbol.asyncDispose]();
  }
}

/** Elements of the outermost aggregate, split at its own commas. */
function items(text: string): string[] {
  const open = text.search(/[[{]/);
  if (open < 0) return [text];
  const all: string[] = [];
  let depth = 0;
  let quoted = false;
  let from = open + 1;
  for (let i = open + 1; i < text.length - 1; i++) {
    const c = text[i];
    if (quoted) {
      if (c === "\\") i++;
      else if (c === '"') quoted = false;
    } else if (c === '"') quoted = true;
    else if (c === "[" || c === "{") depth++;
    else if (c === "]" || c === "}") depth--;
    else if (c === "," && depth === 0) {
      all.push(text.slice(from, i).trim());
      from = i + 1;
    }
  }
  if (from < text.length - 1) all.push(text.slice(from, -1).trim());
  return all;
}
function sortItems(text: string): string {
  const open = text.search(/[[{]/);
  return open < 0 ? text : text.slice(0, open + 1) + items(text).sort().join(", ");
}
function shape(text: string): string {
  const c = text[0];
  if (c === "[" || c === "{" || c === "~" || c === ">") return `${c}${items(text).length}`;
  return c === '"' ? '"' : c === "(" ? "(" : text;
}
