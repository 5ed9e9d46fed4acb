/**
 * What a configuration directive is: the shape of a row and the helpers that the table (redis_rows.ts) is written with. Cold.
 * A row is data only. How its value is read and printed is in values.ts and specials.ts, who keeps it is config.ts, what it does is the
 * business of whoever registers a hook for it.
 */

/** Only the command line and the file may set it. */
export const IMMUTABLE = 1;
/** A secret: CONFIG SET's argument is redacted in MONITOR, slow log and command logs. */
export const SENSITIVE = 2;
/** CONFIG SET needs `enable-protected-configs`. */
export const PROTECTED = 4;
/** Left out of CONFIG GET patterns; named exactly it is shown. */
export const HIDDEN = 8;
/** CONFIG SET answers -LOADING while a data set is loaded. */
export const DENY_LOADING = 16;
/** Takes several words on a line; one quoted word is split at its blanks. */
export const MULTI = 32;
/** Applied again even when the text stays the same: a file whose content may have changed. */
export const VOLATILE = 64;
/** Part of the configuration that a crash report shows. */
export const DEBUG = 128;
/** Accepted, checked, shown and rewritten; without effect in redisha. */
export const RECORD = 256;
/** redisha's own; Redis does not know it. */
export const OWN = 512;

export type Unit = "" | "bytes" | "ms" | "us" | "seconds" | "minutes" | "percent" | "entries" | "hz";

interface Common<N extends string> {
  readonly name: N;
  /** Older names that mean the same; CONFIG GET and SET take them too. */
  readonly aliases: readonly string[];
  readonly flags: number;
  readonly unit: Unit;
}

export interface BoolRow<N extends string = string> extends Common<N> {
  readonly type: "bool";
  readonly initial: boolean;
  readonly check: Check<boolean>;
}

/** int: a plain number. memory: with units k, kb, ... percent: memory, or N% which is kept as -N. octal: file modes. */
export interface NumberRow<N extends string = string> extends Common<N> {
  readonly type: "int" | "memory" | "percent" | "octal";
  readonly initial: number;
  readonly min: bigint;
  readonly max: bigint;
  /** The bounds are compared as unsigned 64 bit numbers, so that -1 is too big and not too small. */
  readonly unsigned: boolean;
  /** Values outside are taken and moved to the nearer end (hz). */
  readonly clamp: readonly [number, number] | null;
}

/** enum: one word of `values`. flags: any number of them. Words in `same` mean the other word. */
export interface EnumRow<N extends string = string, V extends string = string> extends Common<N> {
  readonly type: "enum" | "flags";
  readonly initial: V;
  readonly values: readonly V[];
  readonly same: Readonly<Record<string, V>>;
  readonly check: Check<string>;
}

export interface StringRow<N extends string = string> extends Common<N> {
  readonly type: "string";
  /** null: not set. Then "" also means not set. */
  readonly initial: string | null;
  readonly check: Check<string>;
}

export interface SpecialRow<N extends string = string> extends Common<N> {
  readonly type: "special";
}

export type Row = BoolRow | NumberRow | EnumRow | StringRow | SpecialRow;

/** Says why a well-formed value is refused; null when it is fine. */
export type Check<T> = ((value: T) => string | null) | null;

interface More<T> {
  flags?: number;
  unit?: Unit;
  aliases?: readonly string[];
  check?: Check<T>;
}

export const INT_MAX = 2n ** 31n - 1n;
export const INT_MIN = -(2n ** 31n);
export const UINT_MAX = 2n ** 32n - 1n;
export const LONG_MAX = 2n ** 63n - 1n;
export const ULONG_MAX = 2n ** 64n - 1n;

export function bool<const N extends string>(name: N, initial: boolean, more: More<boolean> = {}): BoolRow<N> {
  return { type: "bool", name, initial, aliases: more.aliases ?? [], flags: more.flags ?? 0, unit: "", check: more.check ?? null };
}

export function string<const N extends string>(name: N, initial: string | null, more: More<string> = {}): StringRow<N> {
  return { type: "string", name, initial, aliases: more.aliases ?? [], flags: more.flags ?? 0, unit: "", check: more.check ?? null };
}

export function choice<const N extends string, const V extends string>(
  name: N,
  initial: V,
  values: readonly V[],
  more: More<string> & { same?: Readonly<Record<string, V>> } = {},
): EnumRow<N, V> {
  const { aliases = [], flags = 0, check = null, same = {} } = more;
  return { type: "enum", name, initial, values, same, aliases, flags, unit: "", check };
}

/** Several words of `values`; the first of them stands for none. */
export function flagSet<const N extends string, const V extends string>(
  name: N,
  initial: V,
  values: readonly V[],
  more: More<string> = {},
): EnumRow<N, V> {
  const { aliases = [], flags = 0, check = null } = more;
  return { type: "flags", name, initial, values, same: {}, aliases, flags: flags | MULTI, unit: "", check };
}

interface MoreNumber extends More<number> {
  min?: bigint;
  max?: bigint;
  unsigned?: boolean;
  clamp?: readonly [number, number];
}

function number<N extends string>(type: NumberRow["type"], name: N, initial: number, more: MoreNumber): NumberRow<N> {
  const { aliases = [], flags = 0, unit = "", min = 0n, max = INT_MAX, unsigned = false, clamp = null } = more;
  return { type, name, initial, min, max, unsigned, clamp, aliases, flags, unit };
}

/** A whole number; unless said otherwise 0 to 2^31 - 1. */
export function int<const N extends string>(name: N, initial: number, more: MoreNumber = {}): NumberRow<N> {
  return number("int", name, initial, more);
}

/** An amount of memory in bytes; unless said otherwise up to 2^63 - 1. */
export function memory<const N extends string>(name: N, initial: number, more: MoreNumber = {}): NumberRow<N> {
  return number("memory", name, initial, { max: LONG_MAX, unit: "bytes", ...more });
}

/** An amount of memory, or a percentage of maxmemory kept as its negative. */
export function memoryOrPercent<const N extends string>(name: N, initial: number, more: MoreNumber = {}): NumberRow<N> {
  return number("percent", name, initial, { max: LONG_MAX, unit: "bytes", ...more });
}

export function octal<const N extends string>(name: N, initial: number, more: MoreNumber = {}): NumberRow<N> {
  return number("octal", name, initial, more);
}

/** A directive with a grammar of its own: specials.ts. */
export function special<const N extends string>(name: N, flags: number, aliases: readonly string[] = []): SpecialRow<N> {
  return { type: "special", name, flags, aliases, unit: "" };
}
