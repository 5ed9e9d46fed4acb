/**
 * Directives with a grammar of their own: save, bind, dir, replicaof, client-output-buffer-limit, oom-score-adj-values,
 * notify-keyspace-events, latency-tracking-info-percentiles. Cold. Redis config.c: the set, get and rewrite functions of the "special" rows.
 *
 * Each is parse (words and the value before -> value), text (CONFIG GET) and lines (CONFIG REWRITE). All pure; `dir` alone is the process'
 * own state, which config.ts reads and changes through the functions it was given.
 */
import { isIP } from "node:net";
import { memoryText, parseMemory } from "../bytes/memory.ts";
import { parseDouble } from "../bytes/number.ts";
import { bytesOf } from "../bytes/ascii.ts";
import { quoteArg } from "../bytes/args.ts";
import { eventClassesText, parseEventClasses } from "./keyspace_events.ts";
import { parseC, type Refusal, type Value } from "./values.ts";

/** Save after `seconds` when at least `changes` writes came. */
export interface SavePoint {
  seconds: number;
  changes: number;
}
/** Bytes; 0 is no limit. */
export interface OutputLimit {
  hard: number;
  soft: number;
  softSeconds: number;
}
export const OUTPUT_CLASSES = ["normal", "slave", "pubsub"] as const;
export type OutputClass = (typeof OUTPUT_CLASSES)[number];

export interface SpecialValues {
  dir: string;
  save: readonly SavePoint[];
  "client-output-buffer-limit": Readonly<Record<OutputClass, OutputLimit>>;
  /** master, replica, background child */
  "oom-score-adj-values": readonly [number, number, number];
  /** Bits of keyspace_events.ts. */
  "notify-keyspace-events": number;
  /** An address with a leading `-` may be missing on the machine. */
  bind: readonly string[];
  /** null: a master. */
  replicaof: { readonly host: string; readonly port: number } | null;
  "latency-tracking-info-percentiles": readonly number[];
  /** Addresses and ranges (10.0.0.0/8) of proxies whose PROXY headers are believed. */
  "proxy-protocol-from": readonly string[];
}
export type SpecialName = keyof SpecialValues;

/** One line for the file: `force` also where the file has none yet. */
export interface SpecialLine {
  line: string;
  force: boolean;
}
export interface SpecialKind<T> {
  readonly initial: T;
  parse(words: readonly string[], before: T): { value: T } | Refusal;
  text(value: T): string;
  /** No lines: the directive's lines leave the file. */
  lines(value: T): SpecialLine[];
}

const MAX_BIND_ADDRESSES = 16;

const save: SpecialKind<SpecialValues["save"]> = {
  initial: [
    { seconds: 3600, changes: 1 },
    { seconds: 300, changes: 100 },
    { seconds: 60, changes: 10000 },
  ],
  parse(words) {
    const numbers = isEmpty(words) ? [] : words;
    if (numbers.length % 2 === 1) return { error: "Invalid save parameters" };
    const points: SavePoint[] = [];
    for (let i = 0; i < numbers.length; i += 2) {
      const seconds = parseC(numbers[i], 10);
      const changes = parseC(numbers[i + 1], 10);
      if (seconds === null || changes === null || seconds < 1n || changes < 0n) return { error: "Invalid save parameters" };
      points.push({ seconds: Number(seconds), changes: Number(BigInt.asIntN(32, changes)) });
    }
    return { value: points };
  },
  text: (points) => points.map((p) => `${p.seconds} ${p.changes}`).join(" "),
  lines(points) {
    if (points.length === 0) return [{ line: 'save ""', force: true }];
    return points.map((p) => ({ line: `save ${p.seconds} ${p.changes}`, force: true }));
  },
};

const MB = 1024 ** 2;
const OUTPUT_LIMITS: SpecialValues["client-output-buffer-limit"] = {
  normal: { hard: 0, soft: 0, softSeconds: 0 },
  slave: { hard: 256 * MB, soft: 64 * MB, softSeconds: 60 },
  pubsub: { hard: 32 * MB, soft: 8 * MB, softSeconds: 60 },
};

const outputLimits: SpecialKind<SpecialValues["client-output-buffer-limit"]> = {
  initial: OUTPUT_LIMITS,
  parse(words, before) {
    if (words.length % 4 !== 0) return { error: "Wrong number of arguments in buffer limit configuration." };
    const limits = { ...before };
    for (let i = 0; i < words.length; i += 4) {
      const name = words[i].toLowerCase() === "replica" ? "slave" : words[i].toLowerCase();
      if (!isOutputClass(name)) return { error: "Invalid client class specified in buffer limit configuration." };
      const hard = parseMemory(words[i + 1]);
      const soft = parseMemory(words[i + 2]);
      const seconds = parseC(words[i + 3], 10);
      if (hard === null || soft === null || seconds === null || BigInt.asIntN(32, seconds) < 0n)
        return { error: "Error in hard, soft or soft_seconds setting in buffer limit configuration." };
      limits[name] = { hard, soft, softSeconds: Number(BigInt.asIntN(32, seconds)) };
    }
    return { value: limits };
  },
  text: (limits) => OUTPUT_CLASSES.map((c) => `${c} ${limits[c].hard} ${limits[c].soft} ${limits[c].softSeconds}`).join(" "),
  lines(limits) {
    return OUTPUT_CLASSES.map((c) => {
      const { hard, soft, softSeconds } = limits[c];
      const usual = OUTPUT_LIMITS[c];
      const name = c === "slave" ? "replica" : c;
      return {
        line: `client-output-buffer-limit ${name} ${memoryText(hard)} ${memoryText(soft)} ${softSeconds}`,
        force: hard !== usual.hard || soft !== usual.soft || softSeconds !== usual.softSeconds,
      };
    });
  },
};

function isOutputClass(name: string): name is OutputClass {
  return (OUTPUT_CLASSES as readonly string[]).includes(name);
}

const oomScores: SpecialKind<SpecialValues["oom-score-adj-values"]> = {
  initial: [0, 200, 800],
  parse(words) {
    if (words.length !== 3) return { error: "wrong number of arguments" };
    const scores: number[] = [];
    for (const word of words) {
      const v = parseC(word, 10);
      if (v === null || v < -2000n || v > 2000n) return { error: "Invalid oom-score-adj-values, elements must be between -2000 and 2000." };
      scores.push(Number(v));
    }
    return { value: [scores[0], scores[1], scores[2]] };
  },
  text: (scores) => scores.join(" "),
  lines: (scores) => [{ line: `oom-score-adj-values ${scores.join(" ")}`, force: scores.join(" ") !== oomScores.initial.join(" ") }],
};

const notifications: SpecialKind<number> = {
  initial: 0,
  parse(words) {
    if (words.length !== 1) return { error: "wrong number of arguments" };
    const bits = parseEventClasses(words[0]);
    return bits === null ? { error: "Invalid event class character. Use 'Ag$lshzxeKEtmdn'." } : { value: bits };
  },
  text: eventClassesText,
  lines: (bits) => [{ line: `notify-keyspace-events ${quoteArg(eventClassesText(bits))}`, force: bits !== 0 }],
};

const bind: SpecialKind<SpecialValues["bind"]> = {
  initial: ["*", "-::*"],
  parse(words) {
    if (words.length > MAX_BIND_ADDRESSES) return { error: "Too many bind addresses specified." };
    return { value: isEmpty(words) ? [] : [...words] };
  },
  text: (addresses) => addresses.join(" "),
  lines(addresses) {
    if (addresses.join(" ") === bind.initial.join(" ")) return [];
    return [{ line: `bind ${addresses.length === 0 ? '""' : addresses.join(" ")}`, force: true }];
  },
};

const replicaOf: SpecialKind<SpecialValues["replicaof"]> = {
  initial: null,
  parse(words) {
    if (words.length !== 2) return { error: "wrong number of arguments" };
    if (words[0].toLowerCase() === "no" && words[1].toLowerCase() === "one") return { value: null };
    const port = parseC(words[1], 10);
    if (port === null || port < 0n || port > 65535n) return { error: "Invalid master port" };
    return { value: { host: words[0], port: Number(port) } };
  },
  text: (master) => (master === null ? "" : `${master.host} ${master.port}`),
  lines: (master) => (master === null ? [] : [{ line: `replicaof ${master.host} ${master.port}`, force: true }]),
};

const percentiles: SpecialKind<SpecialValues["latency-tracking-info-percentiles"]> = {
  initial: [50, 99, 99.9],
  parse(words) {
    const list: number[] = [];
    for (const word of isEmpty(words) ? [] : words) {
      const v = parseDouble(bytesOf(word), 0, word.length);
      if (Number.isNaN(v)) return { error: "Invalid latency-tracking-info-percentiles parameters" };
      if (v > 100 || v < 0) return { error: "latency-tracking-info-percentiles parameters should sit between [0.0,100.0]" };
      list.push(v);
    }
    return { value: list };
  },
  text: (list) => list.map(percentileText).join(" "),
  lines: (list) => [
    { line: `latency-tracking-info-percentiles ${list.length === 0 ? '""' : list.map(percentileText).join(" ")}`, force: true },
  ],
};

/** C's %f without its trailing zeros: 50, 99.9. INFO names its percentiles the same way. */
export function percentileText(v: number): string {
  return v.toFixed(6).replace(/\.?0+$/, "");
}

const proxies: SpecialKind<readonly string[]> = {
  initial: [],
  parse(words) {
    const ranges = isEmpty(words) ? [] : words;
    const wrong = ranges.find((range) => !isRange(range));
    return wrong === undefined ? { value: [...ranges] } : { error: `'${wrong}' is no address and no range like 10.0.0.0/8` };
  },
  text: (ranges) => ranges.join(" "),
  lines: (ranges) => (ranges.length === 0 ? [] : [{ line: `proxy-protocol-from ${ranges.join(" ")}`, force: true }]),
};

function isRange(range: string): boolean {
  const [, address, bits] = /^([^/]*)(?:\/(\d{1,3}))?$/.exec(range) ?? [];
  const family = isIP(address ?? "");
  return family !== 0 && (bits === undefined || Number(bits) <= (family === 4 ? 32 : 128));
}

const dir: SpecialKind<string> = {
  initial: "",
  parse: (words) => (words.length === 1 ? { value: words[0] } : { error: "wrong number of arguments" }),
  text: (path) => path,
  lines: (path) => (path === "" ? [] : [{ line: `dir ${quoteArg(path)}`, force: true }]),
};

export const SPECIALS: { readonly [N in SpecialName]: SpecialKind<SpecialValues[N]> } = {
  dir,
  save,
  "client-output-buffer-limit": outputLimits,
  "oom-score-adj-values": oomScores,
  "notify-keyspace-events": notifications,
  bind,
  replicaof: replicaOf,
  "latency-tracking-info-percentiles": percentiles,
  "proxy-protocol-from": proxies,
};

/** One word "" stands for no words at all. */
function isEmpty(words: readonly string[]): boolean {
  return words.length === 1 && words[0] === "";
}

/** A special value with its text, in the form plain values have. */
export function specialValue<N extends SpecialName>(name: N, value: SpecialValues[N]): Value<SpecialValues[N]> {
  return { value, text: SPECIALS[name].text(value) };
}
