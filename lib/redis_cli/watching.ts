/**
 * The modes that look at a server again and again: --stat, --latency, --latency-history, --latency-dist, --intrinsic-latency. Cold.
 * Lines are redis-cli's. A lost server is dialled anew once a second.
 */
import type { CliOptions } from "./options.ts";
import type { Session } from "./session.ts";
import { complain, print } from "./terminal.ts";
import type { Value } from "./value.ts";

const SAMPLE_MS = 10;

/** One request; while the server is away "Reconnecting..." stands on the line. */
async function persistently(session: Session, ...args: string[]): Promise<Value> {
  for (let tries = 0; ;) {
    try {
      if (session.channel === null || session.channel.lost !== null) {
        print(`\r\x1b[0KReconnecting... ${++tries}\r`);
        if (!(await session.connect(true))) {
          await Bun.sleep(1000);
          continue;
        }
      }
      const reply = await session.channel!.ask(...args);
      if (tries > 0) print("\r\x1b[0K");
      return reply;
    } catch {
      await Bun.sleep(SAMPLE_MS);
    }
  }
}

/** A field of INFO as a number; null when it is not there. */
function field(info: string, name: string): number | null {
  const found = new RegExp(`^${name}[:=](?:keys=)?(-?\\d+)`, "m").exec(info);
  return found === null ? null : Number(found[1]);
}

function bytesText(n: number): string {
  if (n < 1024) return `${n}B`;
  if (n < 1024 ** 2) return `${(n / 1024).toFixed(2)}K`;
  if (n < 1024 ** 3) return `${(n / 1024 ** 2).toFixed(2)}M`;
  return `${(n / 1024 ** 3).toFixed(2)}G`;
}

const STAT_HEAD =
  "------- data ------ --------------------- load -------------------- - child -\n" +
  "keys       mem      clients blocked requests            connections          \n";
const CHILDREN = ["", "SAVE", "AOF", "SAVE+AOF", "LOAD"];

export async function statMode(session: Session, options: CliOptions): Promise<never> {
  let requests = 0;
  for (let line = 0; ; line++) {
    const reply = await persistently(session, "INFO");
    if (reply.kind === "error") {
      complain(`ERROR: ${reply.text}\n`);
      process.exit(1);
    }
    if (line % 20 === 0) print(STAT_HEAD);
    print(`${statLine(reply.text, requests)}\n`);
    requests = field(reply.text, "total_commands_processed") ?? 0;
    await Bun.sleep(options.intervalMs > 0 ? options.intervalMs : 1000);
  }
}

/** One line of --stat; `before`: commands processed at the line before, 0 at the first. */
export function statLine(info: string, before: number): string {
  const number = (name: string): number => field(info, name) ?? 0;
  let keys = 0;
  for (let db = 0; db < 20; db++) keys += field(info, `db${db}`) ?? 0;
  const requests = number("total_commands_processed");
  const child = number("rdb_bgsave_in_progress") | (number("aof_rewrite_in_progress") << 1) | (number("loading") << 2);
  return (
    String(keys).padEnd(11) +
    bytesText(number("used_memory")).padEnd(8) +
    ` ${String(number("connected_clients")).padEnd(8)}` +
    String(number("blocked_clients")).padEnd(8) +
    `${requests} (+${before === 0 ? 0 : requests - before})`.padEnd(19) +
    ` ${String(number("total_connections_received")).padEnd(12)}` +
    (CHILDREN[child] ?? "")
  );
}

function latencyText(options: CliOptions, min: number, max: number, average: number, count: number): string {
  const avg = average.toFixed(2);
  switch (options.output) {
    case "standard":
      return `min: ${min}, max: ${max}, avg: ${avg} (${count} samples)`;
    case "csv":
      return `${min},${max},${avg},${count}\n`;
    case "raw":
      return `${min} ${max} ${avg} ${count}\n`;
    default:
      return `{"min": ${min}, "max": ${max}, "avg": ${avg}, "count": ${count}}\n`;
  }
}

/** Milliseconds of PING, for ever on a terminal, for one interval into a pipe. */
export async function latencyMode(session: Session, options: CliOptions): Promise<never> {
  const rangeMs = options.intervalMs > 0 ? options.intervalMs : 15_000;
  const onceMs = options.intervalMs > 0 ? options.intervalMs : 1000;
  let from = performance.now();
  let [min, max, total, count] = [0, 0, 0, 0];
  for (;;) {
    const start = performance.now();
    await persistently(session, "PING");
    const ms = Math.trunc(performance.now() - start);
    min = count === 0 ? ms : Math.min(min, ms);
    max = count === 0 ? ms : Math.max(max, ms);
    total += ms;
    count++;
    const text = latencyText(options, min, max, total / count, count);
    const passedMs = performance.now() - from;
    if (options.output === "standard") print(`\x1b[0G\x1b[2K${text}`);
    else if (options.latencyHistory) print(text);
    else if (passedMs > onceMs) {
      print(text);
      process.exit(0);
    }
    if (options.latencyHistory && passedMs > rangeMs) {
      print(` -- ${(passedMs / 1000).toFixed(2)} seconds range\n`);
      from = performance.now();
      [min, max, total, count] = [0, 0, 0, 0];
    }
    await Bun.sleep(SAMPLE_MS);
  }
}

/** Upper ends of the classes in microseconds, and the character that stands for each; the last one is everything above. */
const CLASSES: [number, string][] = [
  [10, "."],
  [125, "-"],
  [250, "*"],
  [500, "#"],
  ...[1, 2, 3, 4, 5, 6, 7, 8, 9].map((ms): [number, string] => [ms * 1000, String(ms)]),
  ...[10, 20, 30, 40, 50, 100, 200, 300, 400, 500, 1000, 2000, 4000, 8000, 16_000, 30_000, 60_000].map((ms, i): [number, string] => [
    ms * 1000,
    String.fromCharCode(65 + i),
  ]),
  [Number.POSITIVE_INFINITY, "?"],
];
const COLOURS = [0, 233, 234, 235, 237, 239, 241, 243, 245, 247, 144, 143, 142, 184, 226, 214, 208, 202, 196];
const GREYS = [0, 233, 234, 235, 237, 239, 241, 243, 245, 247, 249, 251, 253];

/** --latency-dist: one coloured line an interval, hotter where more samples fall. */
export async function latencyDistribution(session: Session, options: CliOptions): Promise<never> {
  const palette = options.mono ? GREYS : COLOURS;
  const rangeMs = options.intervalMs > 0 ? options.intervalMs : 1000;
  const counts = CLASSES.map(() => 0);
  let from = performance.now();
  for (let lines = 0; ;) {
    const start = performance.now();
    await persistently(session, "PING");
    const us = (performance.now() - start) * 1000;
    counts[CLASSES.findIndex(([upTo]) => us <= upTo)]++;
    if (performance.now() - from > rangeMs) {
      if (lines++ % 20 === 0) print(legend(palette));
      const all = counts.reduce((sum, n) => sum + n, 0);
      const cells = CLASSES.map(([, mark], i) => `\x1b[48;5;${palette[Math.ceil((counts[i] / all) * (palette.length - 1))]}m${mark}`);
      print(`\x1b[38;5;0m${cells.join("")}\x1b[0m\n`);
      counts.fill(0);
      from = performance.now();
    }
    await Bun.sleep(SAMPLE_MS);
  }
}

function legend(palette: readonly number[]): string {
  return [
    "---------------------------------------------",
    ". - * #          .01 .125 .25 .5 milliseconds",
    "1,2,3,...,9      from 1 to 9     milliseconds",
    "A,B,C,D,E        10,20,30,40,50  milliseconds",
    "F,G,H,I,J        .1,.2,.3,.4,.5       seconds",
    "K,L,M,N,O,P,Q,?  1,2,4,8,16,30,60,>60 seconds",
    `From 0 to 100%: ${palette.map((colour) => `\x1b[48;5;${colour}m `).join("")}\x1b[0m`,
    "---------------------------------------------",
    "",
  ].join("\n");
}

/** What the loop below works for: a result that nobody uses could be left out by the compiler. */
export let work = 0;

/** --intrinsic-latency: how long this machine keeps a busy process from running. */
export function intrinsicLatency(seconds: number): never {
  const end = performance.now() + seconds * 1000;
  let [max, runs] = [0, 0];
  let before = performance.now();
  for (const start = before; before < end;) {
    // A little work, so that the loop is no mere clock read.
    let x = 0;
    for (let i = 0; i < 64; i++) x = (x * 31 + i) | 0;
    const now = performance.now();
    work = x;
    runs++;
    if (now - before > max) {
      max = now - before;
      print(`Max latency so far: ${Math.round(max * 1000)} microseconds.\n`);
    }
    before = now;
    if (before >= end) {
      const average = ((before - start) * 1000) / runs;
      print(
        `\n${runs} total runs (avg latency: ${average.toFixed(4)} microseconds / ${(average * 1000).toFixed(2)} nanoseconds per run).\n` +
          `Worst run took ${((max * 1000) / average).toFixed(0)}x longer than the average latency.\n`,
      );
    }
  }
  process.exit(0);
}
