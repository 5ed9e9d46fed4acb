/**
 * Values of plain directives: text to value, value to text, and the line that CONFIG REWRITE writes. Pure, cold. The texts of errors, the
 * order of checks and C's number reading follow Redis config.c (numericConfigSet, enumConfigSet, ...).
 *
 * A value is kept as what the program wants (boolean, number, word) together with its exact text, because sizes up to 2^64 - 1 do not fit a
 * double. Directives with a grammar of their own are in specials.ts.
 */
import { quoteArg } from "../bytes/args.ts";
import { memoryText, parseMemoryExact } from "../bytes/memory.ts";
import type { BoolRow, EnumRow, NumberRow, StringRow } from "./row.ts";

export interface Value<T = unknown> {
  readonly value: T;
  /** What CONFIG GET shows. */
  readonly text: string;
}
export interface Refusal {
  /** Redis' text. */
  readonly error: string;
}
export type PlainRow = BoolRow | NumberRow | EnumRow | StringRow;
export type Plain = boolean | number | string | null;

/** C's strtoll(text, &end, base) with *end == 0: leading blanks, a sign, digits of the base, nothing behind. "" is 0, as in C. null when refused. */
export function parseC(text: string, base: 8 | 10): bigint | null {
  const m = (base === 8 ? /^[ \t-\r]*([+-]?)([0-7]+)$/ : /^[ \t-\r]*([+-]?)([0-9]+)$/).exec(text);
  if (m === null) return text === "" ? 0n : null;
  const digits = base === 8 ? BigInt(`0o${m[2]}`) : BigInt(m[2]);
  const v = m[1] === "-" ? -digits : digits;
  return v > 2n ** 63n - 1n || v < -(2n ** 63n) ? null : v;
}

/** Redis string2ll: a canonical int64, no blanks, no plus sign, no leading zero; null when it is not one. */
export function parseInteger(text: string): bigint | null {
  if (!/^(0|-?[1-9][0-9]{0,18})$/.test(text)) return null;
  const v = BigInt(text);
  return v > 2n ** 63n - 1n || v < -(2n ** 63n) ? null : v;
}

export function initialValue(row: PlainRow): Value<Plain> {
  if (row.type === "bool") return { value: row.initial, text: row.initial ? "yes" : "no" };
  if (row.type === "string") return { value: row.initial, text: row.initial ?? "" };
  if ("values" in row) return { value: row.initial, text: row.initial };
  return numberValue(row, BigInt(row.initial));
}

/** Reads the words that stand behind the directive's name. */
export function parsePlain(row: PlainRow, words: readonly string[]): Value<Plain> | Refusal {
  if (row.type === "bool") return parseBool(row, words[0]);
  if (row.type === "string") return parseString(row, words[0]);
  if ("values" in row) return parseWords(row, words);
  return parseNumber(row, words[0]);
}

function parseBool(row: BoolRow, word: string): Value<boolean> | Refusal {
  const lower = word.toLowerCase();
  if (lower !== "yes" && lower !== "no") return { error: "argument must be 'yes' or 'no'" };
  const error = row.check?.(lower === "yes") ?? null;
  return error === null ? { value: lower === "yes", text: lower } : { error };
}

function parseString(row: StringRow, word: string): Value<string | null> | Refusal {
  const error = row.check?.(word) ?? null;
  if (error !== null) return { error };
  return { value: word === "" && row.initial === null ? null : word, text: word };
}

/** Redis cuts the list of words at this many bytes (LOADBUF_SIZE). */
const WORDS_ERROR_MAX = 255;

function parseWords(row: EnumRow, words: readonly string[]): Value<string> | Refusal {
  const chosen = new Set<string>();
  for (const word of words) {
    const lower = word.toLowerCase();
    const known = row.same[lower] ?? row.values.find((v) => v === lower);
    if (known !== undefined) chosen.add(known);
    else chosen.clear();
    if (known === undefined) return wordsError(row);
  }
  if (chosen.size === 0 || (row.type === "enum" && words.length !== 1)) return wordsError(row);
  // The first word of a set of flags is the empty set: with any other it says nothing.
  if (row.type === "flags" && chosen.size > 1) chosen.delete(row.values[0]);
  const text = row.values.filter((v) => chosen.has(v)).join(" ");
  const error = row.check?.(text) ?? null;
  return error === null ? { value: text, text } : { error };
}

function wordsError(row: EnumRow): Refusal {
  return { error: `argument(s) must be one of the following: ${row.values.join(", ")}`.slice(0, WORDS_ERROR_MAX) };
}

function parseNumber(row: NumberRow, word: string): Value<number> | Refusal {
  const v = readNumber(row, word);
  if (v === null) return { error: notANumber(row) };
  const error = outOfBounds(row, v);
  return error === null ? numberValue(row, v) : { error };
}

/** The number as C holds it, in a signed 64 bit integer; a percentage is negative. */
function readNumber(row: NumberRow, word: string): bigint | null {
  if (row.type === "int") return parseInteger(word);
  if (row.type === "octal") return parseC(word, 8);
  const bytes = parseMemoryExact(word);
  if (bytes !== null) return BigInt.asIntN(64, bytes);
  if (row.type !== "percent" || !word.endsWith("%")) return null;
  const percent = parseInteger(word.slice(0, -1));
  return percent === null || percent < 0n ? null : -percent;
}

function notANumber(row: NumberRow): string {
  if (row.type === "percent") return "argument must be a memory or percent value";
  if (row.type === "memory") return "argument must be a memory value";
  if (row.type === "octal") return "argument couldn't be parsed as an octal number";
  return "argument couldn't be parsed into an integer";
}

function outOfBounds(row: NumberRow, v: bigint): string | null {
  if (row.type === "percent" && v < 0n) return v < row.min ? `percentage argument must be less or equal to ${-row.min}` : null;
  const compared = row.unsigned ? BigInt.asUintN(64, v) : v;
  if (compared >= row.min && compared <= row.max) return null;
  const base = row.type === "octal" ? 8 : 10;
  return `argument must be between ${row.min.toString(base)} and ${row.max.toString(base)} inclusive`;
}

function numberValue(row: NumberRow, read: bigint): Value<number> {
  let v = read;
  if (row.clamp !== null) {
    if (v < BigInt(row.clamp[0])) v = BigInt(row.clamp[0]);
    if (v > BigInt(row.clamp[1])) v = BigInt(row.clamp[1]);
  }
  if (row.type === "percent" && v < 0n) return { value: Number(v), text: `${-v}%` };
  if (row.unsigned || row.type === "memory" || row.type === "percent") v = BigInt.asUintN(64, v);
  return { value: Number(v), text: row.type === "octal" ? v.toString(8) : v.toString() };
}

/** The line of CONFIG REWRITE, and whether it must stand in a file that does not have it. null: the directive is not set, its lines go. */
export function plainLine(row: PlainRow, now: Value<Plain>): { line: string; force: boolean } | null {
  if (row.type === "string") {
    if (now.value === null) return null;
    return { line: `${row.name} ${quoteArg(now.text)}`, force: now.value !== row.initial };
  }
  const force = now.value !== row.initial;
  const inBytes = row.type === "memory" || (row.type === "percent" && (now.value as number) >= 0);
  const text = inBytes && Number.isSafeInteger(now.value) ? memoryText(now.value as number) : now.text;
  return { line: `${row.name} ${text}`, force };
}
