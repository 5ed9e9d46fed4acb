/**
 * How long commands take: a histogram a command, percentiles for INFO latencystats, counts for LATENCY HISTOGRAM. `record` is HOT.
 *
 * The histogram is logarithmic with 2 significant digits over 1 ns .. 1 s (128 steps an octave), as Redis' use of HdrHistogram:
 * a value falls into one of 3072 counters, made when a command is first called.
 */
import type { Command } from "./command.ts";

const STEPS = 128;
const MOST_NS = 1_000_000_000;
/** Octaves: 256 ns in single steps, then each doubling up to a second. */
const OCTAVES = 23;
const COUNTERS = (OCTAVES + 1) * STEPS;

function indexOf(ns: number): number {
  const octave = 24 - Math.clz32(ns | 255);
  return octave * STEPS + (ns >> octave);
}

/** Counts one call. */
export function recordLatency(command: Command, micros: number): void {
  const h = (command.histogram ??= new Uint32Array(COUNTERS));
  let ns = (micros * 1000) | 0;
  if (micros >= MOST_NS / 1000) ns = MOST_NS;
  else if (ns < 1) ns = 1;
  h[indexOf(ns)]++;
}

/** The highest value, in ns, that falls into the same counter. */
function highest(index: number): number {
  let octave = (index >> 7) - 1;
  let sub = (index & (STEPS - 1)) + STEPS;
  if (octave < 0) {
    octave = 0;
    sub -= STEPS;
  }
  return (sub + 1) * 2 ** octave - 1;
}

/** The value in ns at or below which `percent` of all calls lie; 0 when there was none. */
export function percentileNs(histogram: Uint32Array, percent: number): number {
  let total = 0;
  for (let i = 0; i < histogram.length; i++) total += histogram[i];
  if (total === 0) return 0;
  const wanted = Math.max(1, Math.floor((Math.min(100, percent) / 100) * total + 0.5));
  let seen = 0;
  for (let i = 0; i < histogram.length; i++) {
    seen += histogram[i];
    if (seen >= wanted) return highest(i);
  }
  return 0;
}

/** LATENCY HISTOGRAM: [microseconds, calls up to it], doubling from 1 us, where the count grows; and the number of calls. */
export function cumulativeMicros(histogram: Uint32Array): { calls: number; steps: [number, number][] } {
  let calls = 0;
  for (let i = 0; i < histogram.length; i++) calls += histogram[i];
  const steps: [number, number][] = [];
  let seen = 0;
  let i = 0;
  let before = 0;
  for (let ns = 1024; seen < calls; ns *= 2) {
    const last = indexOf(Math.min(ns, MOST_NS));
    while (i <= last) seen += histogram[i++];
    if (seen > before) steps.push([Math.floor(highest(last) / 1000), seen]);
    before = seen;
  }
  return { calls, steps };
}

/** A percentile as INFO names it: `p50`, `p99.9`. */
export function percentileName(percent: number): string {
  return `p${percent}`;
}
