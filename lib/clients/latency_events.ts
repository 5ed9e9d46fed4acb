/**
 * The latency monitor: what took longer than latency-monitor-threshold, by kind of event, and the LATENCY commands. COLD.
 *
 *   dispatch, cron, persistence --add(event, ms)--> the last 160 seconds in which it happened, and the worst of all
 *
 * Shapes and error texts follow Redis 7.2 latency.c; the doctor's words are ours.
 */
import { FLAG } from "../commands/table/row.ts";
import { clock } from "../time/clock.ts";
import type { Runs } from "./bind.ts";
import type { Call } from "./call.ts";
import { FLAG_TRUSTED } from "./client.ts";
import type { Command } from "./command.ts";
import type { Dispatcher } from "./dispatch.ts";
import { cumulativeMicros } from "./latency.ts";
import type { ClientSettings } from "./settings.ts";

/** Samples kept for an event, at most one a second. */
const SAMPLES = 160;
const GRAPH_COLUMNS = 80;
const GRAPH_ROWS = 4;
const LEVELS = "_o#";

interface Series {
  /** [unix seconds, ms], oldest first. */
  samples: [number, number][];
  worstMs: number;
}

export class LatencyEvents {
  private readonly dispatcher: Dispatcher;
  private readonly settings: ClientSettings;
  private readonly events: Map<string, Series>;

  constructor(dispatcher: Dispatcher, settings: ClientSettings) {
    this.dispatcher = dispatcher;
    this.settings = settings;
    this.events = new Map();
  }

  /** Something took `ms`; kept when the monitor is on and it is long enough. Events are named as in Redis: `expire-cycle`, `aof-fsync-always`. */
  add(event: string, ms: number): void {
    const limit = this.settings.latencyMonitorMs;
    if (limit === 0 || ms < limit) return;
    const whole = Math.floor(ms);
    let series = this.events.get(event);
    if (series === undefined) this.events.set(event, (series = { samples: [], worstMs: 0 }));
    if (whole > series.worstMs) series.worstMs = whole;
    const now = Math.floor(clock.nowMs / 1000);
    const last = series.samples.at(-1);
    if (last !== undefined && last[0] === now) {
      if (whole > last[1]) last[1] = whole;
      return;
    }
    series.samples.push([now, whole]);
    if (series.samples.length > SAMPLES) series.samples.shift();
  }

  /** A command has ended. */
  command(call: Call, micros: number): void {
    if (call.client.flags & FLAG_TRUSTED) return;
    this.add(call.command.flags & FLAG.fast ? "fast-command" : "command", micros / 1000);
  }

  commands(): Runs {
    return {
      "latency|latest": (call) => this.latest(call),
      "latency|history": (call) => {
        const samples = this.events.get(call.text(2))?.samples ?? [];
        call.out.array(samples.length);
        for (const [second, ms] of samples) {
          call.out.array(2);
          call.out.int(second);
          call.out.int(ms);
        }
      },
      "latency|reset": (call) => this.reset(call),
      "latency|graph": (call) => {
        const name = call.text(2);
        const series = this.events.get(name);
        if (series === undefined) return call.out.errorText(`ERR No samples available for event '${name}'`);
        call.out.verbatim(graph(name, series), "txt");
      },
      "latency|doctor": (call) => call.out.verbatim(this.report(), "txt"),
      "latency|histogram": (call) => this.histogram(call),
    };
  }

  private latest(call: Call): void {
    const { out } = call;
    out.array(this.events.size);
    for (const [name, series] of this.events) {
      const last = series.samples.at(-1)!;
      out.array(4);
      out.bulkText(name);
      out.int(last[0]);
      out.int(last[1]);
      out.int(series.worstMs);
    }
  }

  private reset(call: Call): void {
    let n = 0;
    if (call.argc === 2) {
      n = this.events.size;
      this.events.clear();
    }
    for (let i = 2; i < call.argc; i++) for (const name of this.events.keys()) if (call.is(i, name) && this.events.delete(name)) n++;
    call.out.int(n);
  }

  private histogram(call: Call): void {
    const { table } = this.dispatcher;
    const found: Command[] = [];
    if (call.argc === 2) found.push(...table.all.filter((c) => c.histogram !== null));
    for (let i = 2; i < call.argc; i++) {
      const command = table.named(call.lower(i));
      if (command === null) continue;
      for (const c of [command, ...(command.subs?.values() ?? [])]) if (c.histogram !== null) found.push(c);
    }
    const { out } = call;
    out.map(found.length);
    for (const command of found) {
      const { calls, steps } = cumulativeMicros(command.histogram!);
      out.bulkText(command.name);
      out.map(2);
      out.bulkText("calls");
      out.int(calls);
      out.bulkText("histogram_usec");
      out.map(steps.length);
      for (const [micros, count] of steps) {
        out.int(micros);
        out.int(count);
      }
    }
  }

  private report(): string {
    if (this.events.size === 0)
      return this.settings.latencyMonitorMs === 0
        ? 'The latency monitor is off. "CONFIG SET latency-monitor-threshold <milliseconds>" switches it on.\n'
        : `Nothing has taken ${this.settings.latencyMonitorMs} ms or longer since the latency monitor was switched on.\n`;
    const now = Math.floor(clock.nowMs / 1000);
    let text = `Events that took ${this.settings.latencyMonitorMs} ms or longer:\n\n`;
    let n = 0;
    for (const [name, series] of this.events) {
      const ms = series.samples.map((s) => s[1]);
      const average = Math.floor(ms.reduce((a, b) => a + b, 0) / ms.length);
      const deviation = Math.floor(ms.reduce((a, b) => a + Math.abs(b - average), 0) / ms.length);
      const period = Math.max(1, now - series.samples[0][0]) / ms.length;
      text +=
        `${++n}. ${name}: ${ms.length} latency spikes (average ${average}ms, mean deviation ${deviation}ms, ` +
        `period ${period.toFixed(2)} sec). Worst all time event ${series.worstMs}ms.\n`;
    }
    const hints = [...this.events.keys()].map(hintFor).filter((hint, i, all) => hint !== "" && all.indexOf(hint) === i);
    return hints.length === 0 ? text : `${text}\nWhat may help:\n\n${hints.map((h) => `- ${h}\n`).join("")}`;
  }
}

function hintFor(event: string): string {
  if (event === "command")
    return "SLOWLOG GET names the commands that take long; large values cost most when they are read or deleted whole.";
  if (event === "fast-command")
    return "Commands that are always short were slow: the machine had no time for this process. Look at its load.";
  if (event.startsWith("aof-"))
    return "The disk is slow to take the AOF: appendfsync everysec, no-appendfsync-on-rewrite or a faster disk.";
  if (event === "expire-cycle") return "Many keys expire at once: spread their times, or raise hz so that each step is smaller.";
  if (event.startsWith("eviction-")) return "maxmemory is reached in jumps: leave more room, or evict smaller keys.";
  return "";
}

/** The samples as four rows of characters, each labelled with its age below. Redis sparkline.c's look. */
function graph(name: string, series: Series): string {
  const now = Math.floor(clock.nowMs / 1000);
  const values = series.samples.map((s) => s[1]);
  const high = Math.max(...values);
  const low = Math.min(...values);
  let text = `${name} - high ${high} ms, low ${low} ms (all time high ${series.worstMs} ms)\n${"-".repeat(GRAPH_COLUMNS)}\n`;
  const span = high === low ? 1 : high - low;
  const steps = LEVELS.length * GRAPH_ROWS;
  for (let from = 0; from < values.length; from += GRAPH_COLUMNS) {
    if (from > 0) text += "\n";
    const part = series.samples.slice(from, from + GRAPH_COLUMNS);
    const heights = part.map(([, ms]) => Math.min(steps - 1, Math.floor(((ms - low) * steps) / span)));
    for (let row = 0; row < GRAPH_ROWS; row++) {
      const floor = (GRAPH_ROWS - row - 1) * LEVELS.length;
      text += `${heights.map((h) => (h < floor ? " " : h >= floor + LEVELS.length ? "|" : LEVELS[h - floor])).join("")}\n`;
    }
    const labels = part.map(([second]) => age(now - second));
    text += `${" ".repeat(part.length)}\n`;
    for (let i = 0; labels.some((l) => l.length > i); i++) text += `${labels.map((l) => l[i] ?? " ").join("")}\n`;
  }
  return text;
}

function age(seconds: number): string {
  if (seconds < 60) return `${seconds}s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m`;
  return seconds < 86400 ? `${Math.floor(seconds / 3600)}h` : `${Math.floor(seconds / 86400)}d`;
}
