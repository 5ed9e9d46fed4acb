/** cjson.decode: JSON to Lua values, pushed as they are read. WARM. lua-cjson 2.1.0: lua_cjson.c, the decoding half. */
import { ByteWriter } from "./byte_writer.ts";
import type { JsonSettings } from "./cjson.ts";
import type { LuaVm } from "./lua_vm.ts";

/** Kinds of tokens; their words are in error texts. */
const T = {
  objectBegin: "T_OBJ_BEGIN",
  objectEnd: "T_OBJ_END",
  arrayBegin: "T_ARR_BEGIN",
  arrayEnd: "T_ARR_END",
  string: "T_STRING",
  number: "T_NUMBER",
  boolean: "T_BOOLEAN",
  null: "T_NULL",
  colon: "T_COLON",
  comma: "T_COMMA",
  end: "T_END",
  error: "T_ERROR",
} as const;
const SINGLE: Record<number, string> = {
  123: T.objectBegin,
  125: T.objectEnd,
  91: T.arrayBegin,
  93: T.arrayEnd,
  44: T.comma,
  58: T.colon,
};
const ESCAPED: Record<number, number> = { 34: 34, 92: 92, 47: 47, 98: 8, 116: 9, 110: 10, 102: 12, 114: 13 };

const string = new ByteWriter();

class Parser {
  readonly vm: LuaVm;
  readonly L: number;
  /** The text; reads beyond its end give undefined, C's terminating NUL. */
  readonly b: Buffer;
  readonly settings: JsonSettings;
  at: number;
  depth: number;
  /** The token: its kind, where it begins, its value. */
  kind: string;
  index: number;
  number: number;
  error: string;

  constructor(vm: LuaVm, L: number, b: Buffer, settings: JsonSettings) {
    this.vm = vm;
    this.L = L;
    this.b = b;
    this.settings = settings;
    this.at = 0;
    this.depth = 0;
    this.kind = T.end;
    this.index = 0;
    this.number = 0;
    this.error = "";
  }

  private bad(what: string): void {
    this.kind = T.error;
    this.index = this.at;
    this.error = what;
  }

  private fail(expected: string): never {
    const found = this.kind === T.error ? this.error : this.kind;
    return this.vm.error(this.L, `Expected ${expected} but found ${found} at character ${this.index + 1}`);
  }

  /** Whether the token read last is of this kind. */
  private is(kind: string): boolean {
    return this.kind === kind;
  }

  private word(text: string): boolean {
    return this.b.toString("latin1", this.at, this.at + text.length) === text;
  }

  /** Reads the next token. */
  next(): void {
    const { b } = this;
    while (b[this.at] === 32 || b[this.at] === 9 || b[this.at] === 10 || b[this.at] === 13) this.at++;
    this.index = this.at;
    const c = b[this.at] ?? 0;
    if (c === 0) {
      this.kind = T.end;
      return;
    }
    const single = SINGLE[c];
    if (single !== undefined) {
      this.kind = single;
      this.at++;
    } else if (c === 34) this.readString();
    else if (c === 45 || (c >= 48 && c <= 57)) {
      if (!this.settings.decodeInvalid && this.isInvalidNumber()) this.bad("invalid number");
      else this.readNumber();
    } else if (this.word("true")) this.boolean(1, 4);
    else if (this.word("false")) this.boolean(0, 5);
    else if (this.word("null")) {
      this.kind = T.null;
      this.at += 4;
    } else if (this.settings.decodeInvalid && "+iInN".includes(String.fromCharCode(c)) && this.isInvalidNumber()) this.readNumber();
    else this.bad("invalid token");
  }

  private boolean(value: number, length: number): void {
    this.kind = T.boolean;
    this.number = value;
    this.at += length;
  }

  /** Numbers that C reads and JSON does not have. */
  private isInvalidNumber(): boolean {
    const text = this.b.toString("latin1", this.at, this.at + 5).toLowerCase();
    return text.startsWith("+") || /^-?(0[x0-9]|inf|nan)/.test(text);
  }

  private readNumber(): void {
    let end = this.at;
    while (end < this.b.length && /[-+0-9a-zA-Z.]/.test(String.fromCharCode(this.b[end]))) end++;
    const text = this.b.toString("latin1", this.at, end);
    const found = /^[-+]?(?:0[xX][0-9a-fA-F]+|\d+\.?\d*(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?|[iI][nN][fF](?:inity)?|[nN][aA][nN])/.exec(
      text,
    );
    if (found === null) return this.bad("invalid number");
    this.kind = T.number;
    this.number = toNumber(found[0]);
    this.at += found[0].length;
  }

  private hex4(at: number): number {
    const text = this.b.toString("latin1", at, at + 4);
    return /^[0-9a-fA-F]{4}$/.test(text) ? Number.parseInt(text, 16) : -1;
  }

  /** \uXXXX, or two of them for what UTF-16 writes as a pair; false when it is none. */
  private unicode(): boolean {
    let code = this.hex4(this.at + 2);
    if (code < 0) return false;
    let length = 6;
    if ((code & 0xf800) === 0xd800) {
      if (code & 0x400 || this.b[this.at + 6] !== 92 || this.b[this.at + 7] !== 117) return false;
      const low = this.hex4(this.at + 8);
      if ((low & 0xfc00) !== 0xdc00 || low < 0) return false;
      code = (((code & 0x3ff) << 10) | (low & 0x3ff)) + 0x10000;
      length = 12;
    }
    string.text(Buffer.from(String.fromCodePoint(code)).toString("latin1"));
    this.at += length;
    return true;
  }

  private readString(): void {
    const { b } = this;
    string.reset();
    this.at++;
    for (;;) {
      const from = this.at;
      let c = b[this.at] ?? 0;
      while (c !== 34 && c !== 92 && c !== 0) c = b[++this.at] ?? 0;
      string.bytes(b, from, this.at);
      if (c === 34) break;
      if (c === 0) return this.bad("unexpected end of string");
      const escape = b[this.at + 1] ?? 0;
      if (escape === 117) {
        if (!this.unicode()) return this.bad("invalid unicode escape code");
        continue;
      }
      const plain = ESCAPED[escape];
      if (plain === undefined) return this.bad("invalid escape code");
      string.byte(plain);
      this.at += 2;
    }
    this.at++;
    this.kind = T.string;
  }

  /** Pushes the value whose first token has been read. */
  value(): void {
    const { vm, L } = this;
    const { api } = vm;
    switch (this.kind) {
      case T.string:
        return string.push(vm, L);
      case T.number:
        return void api.lua_pushnumber(L, this.number);
      case T.boolean:
        return void api.lua_pushboolean(L, this.number);
      case T.null:
        return void api.lua_pushlightuserdata(L, 0);
      case T.objectBegin:
        return this.object();
      case T.arrayBegin:
        return this.array();
      default:
        this.fail("value");
    }
  }

  private descend(): void {
    this.depth++;
    if (this.depth > this.settings.decodeMaxDepth || this.vm.api.lua_checkstack(this.L, 5) === 0)
      this.vm.error(this.L, `Found too many nested data structures (${this.depth}) at character ${this.at}`);
    this.vm.api.lua_createtable(this.L, 0, 0);
    this.next();
  }

  private object(): void {
    this.descend();
    while (this.kind !== T.objectEnd) {
      if (this.kind !== T.string) this.fail("object key string");
      string.push(this.vm, this.L);
      this.next();
      if (!this.is(T.colon)) this.fail("colon");
      this.next();
      this.value();
      this.vm.api.lua_rawset(this.L, -3);
      this.next();
      if (this.is(T.objectEnd)) break;
      if (!this.is(T.comma)) this.fail("comma or object end");
      this.next();
      // A comma does not end an object.
      if (this.is(T.objectEnd)) this.fail("object key string");
    }
    this.depth--;
  }

  private array(): void {
    this.descend();
    for (let i = 1; this.kind !== T.arrayEnd; i++) {
      this.value();
      this.vm.api.lua_rawseti(this.L, -2, i);
      this.next();
      if (this.is(T.arrayEnd)) break;
      if (!this.is(T.comma)) this.fail("comma or array end");
      this.next();
      if (this.is(T.arrayEnd)) this.fail("value");
    }
    this.depth--;
  }

  /** Nothing may follow. */
  end(): void {
    this.next();
    if (this.kind !== T.end) this.fail("the end");
  }
}

function toNumber(text: string): number {
  const lower = text.toLowerCase();
  const sign = lower.startsWith("-") ? -1 : 1;
  const bare = lower.replace(/^[-+]/, "");
  if (bare.startsWith("inf")) return sign * Infinity;
  if (bare === "nan") return NaN;
  return sign * Number(bare);
}

/** Decodes the argument and pushes the value. */
export function decodeJson(vm: LuaVm, L: number, settings: JsonSettings): void {
  const b = Buffer.from(vm.checkBytes(L, 1));
  if (b.length >= 2 && (b[0] === 0 || b[1] === 0)) vm.error(L, "JSON parser does not support UTF-16 or UTF-32");
  const parser = new Parser(vm, L, b, settings);
  parser.next();
  parser.value();
  parser.end();
}
