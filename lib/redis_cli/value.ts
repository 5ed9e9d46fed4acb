/**
 * Replies as people see them: unlike lib/resp/reply.ts this reader keeps the type of every value (status or bulk, set or array, double
 * or bulk), because the formats of redis-cli differ by it. Cold. Leaves out limits: the server is the one that the user named.
 */

export type Kind = "status" | "error" | "string" | "verbatim" | "integer" | "double" | "nil" | "bool" | "array" | "map" | "set" | "push";

/** `text` is latin1, one char a byte; `items` of a map are key, value, key, value. */
export interface Value {
  kind: Kind;
  text: string;
  items: Value[];
}

const NONE: Value[] = [];

/** The types of RESP2 and RESP3 by their first byte. */
const LINES: Record<string, Kind> = { "+": "status", "-": "error", ":": "integer", ",": "double", "(": "integer", "#": "bool" };
const BLOBS: Record<string, Kind> = { $: "string", "=": "verbatim", "!": "error" };
const LISTS: Record<string, Kind> = { "*": "array", "%": "map", "~": "set", ">": "push", "|": "map" };

/** What the bytes say is no RESP. */
export class ProtocolError extends Error {}

/** Bytes in, whole values out. A value that is not whole yet costs a new attempt when more bytes are there than it is known to need. */
export class ValueReader {
  private rest: Buffer;
  private at: number;
  private needBytes: number;

  constructor() {
    this.rest = Buffer.alloc(0);
    this.at = 0;
    this.needBytes = 0;
  }

  feed(chunk: Buffer): void {
    const left = this.rest.length - this.at;
    this.rest = left === 0 ? chunk : Buffer.concat([this.rest.subarray(this.at), chunk]);
    this.at = 0;
  }

  /** The next whole value, or undefined while it is still on its way. Throws ProtocolError. */
  next(): Value | undefined {
    const from = this.at;
    if (this.rest.length - from === 0 || this.rest.length - from < this.needBytes) return undefined;
    this.needBytes = 0;
    const value = this.read();
    if (value === undefined) {
      this.needBytes = this.needBytes === 0 ? 0 : this.needBytes - from;
      this.at = from;
    }
    return value;
  }

  /** What follows the last value taken, raw: an RDB in the reply to SYNC. Empties the reader. */
  takeRest(): Buffer {
    const rest = this.rest.subarray(this.at);
    this.rest = Buffer.alloc(0);
    this.at = 0;
    this.needBytes = 0;
    return rest;
  }

  private line(): string | undefined {
    const end = this.rest.indexOf("\r\n", this.at, "latin1");
    if (end < 0) return undefined;
    const line = this.rest.toString("latin1", this.at, end);
    this.at = end + 2;
    return line;
  }

  private read(): Value | undefined {
    const line = this.line();
    if (line === undefined) return undefined;
    const type = line[0] ?? "";
    const text = line.slice(1);
    if (type === "_") return { kind: "nil", text: "", items: NONE };
    const simple = LINES[type];
    if (simple !== undefined) return { kind: simple, text, items: NONE };
    const blob = BLOBS[type];
    if (blob !== undefined) return this.blob(blob, Number(text));
    const list = LISTS[type];
    if (list === undefined) {
      const shown = type >= " " && type <= "~" ? type : `\\x${(type.charCodeAt(0) || 0).toString(16).padStart(2, "0")}`;
      throw new ProtocolError(`Protocol error, got "${shown}" as reply type byte`);
    }
    const value = this.list(list, Number(text));
    // Attributes say something about the reply behind them; people want the reply.
    return value !== undefined && type === "|" ? this.read() : value;
  }

  private blob(kind: Kind, length: number): Value | undefined {
    if (length < 0) return { kind: "nil", text: "", items: NONE };
    const end = this.at + length;
    if (this.rest.length < end + 2) {
      this.needBytes = end + 2;
      return undefined;
    }
    const text = this.rest.toString("latin1", kind === "verbatim" ? this.at + 4 : this.at, end);
    this.at = end + 2;
    return { kind, text, items: NONE };
  }

  private list(kind: Kind, count: number): Value | undefined {
    if (count < 0) return { kind: "nil", text: "", items: NONE };
    const items: Value[] = [];
    for (let i = kind === "map" ? count * 2 : count; i > 0; i--) {
      const item = this.read();
      if (item === undefined) return undefined;
      items.push(item);
    }
    return { kind, text: "", items };
  }
}

/** A reply in pairs (a map of RESP3 or a flat array of RESP2) as [name, value] entries. */
export function entries(value: Value): [string, Value][] {
  const list: [string, Value][] = [];
  for (let i = 0; i + 1 < value.items.length; i += 2) list.push([value.items[i].text, value.items[i + 1]]);
  return list;
}
