/**
 * Long work shows itself: loading, snapshots, rewrites, full syncs. A bar on a terminal, a line every few seconds in a log, fields in INFO.
 * Cold: looked at once a beat of cron. The work itself knows nothing of this; it is asked how far it is.
 */
import type { Log } from "../log/log.ts";

/** Something that takes its time. */
export interface Work {
  /** As INFO names it: loading, save, rewrite, sync_out, sync_in. */
  name: string;
  /** As people read it. */
  title: string;
  done: number;
  /** 0: not known. */
  total: number;
  unit: "bytes" | "keys";
  /** It writes lines into the log by itself. */
  speaks: boolean;
}

const FIRST_LINE_MS = 5000;
const LINE_MS = 5000;
/** What is over sooner than this is not worth a bar. */
const FIRST_BAR_MS = 400;
const BAR_CELLS = 30;

/** Share of a work in per cent, 0 to 100; null when the whole is not known. */
export function percentOf(work: Work): number | null {
  return work.total <= 0 ? null : Math.min(100, (work.done / work.total) * 100);
}

/** Seconds that are left at the pace so far; null when there is nothing to tell it from. */
export function secondsLeft(work: Work, tookMs: number): number | null {
  return work.total <= 0 || work.done <= 0 || tookMs <= 0
    ? null
    : Math.max(0, Math.round(((work.total - work.done) / work.done) * (tookMs / 1000)));
}

/** `Saving: 42% (420 of 1000 keys), about 12 s left` */
export function workLine(work: Work, tookMs: number): string {
  const percent = percentOf(work);
  const left = secondsLeft(work, tookMs);
  const share = percent === null ? `${work.done} ${work.unit}` : `${Math.floor(percent)}% (${work.done} of ${work.total} ${work.unit})`;
  return `${work.title}: ${share}${left === null ? "" : `, about ${left} s left`}`;
}

/** The same as a bar of a terminal, without the line's end. */
export function workBar(work: Work, tookMs: number, columns: number): string {
  const percent = percentOf(work);
  const full = Math.round(((percent ?? 0) / 100) * BAR_CELLS);
  return `[${"#".repeat(full)}${".".repeat(BAR_CELLS - full)}] ${workLine(work, tookMs)}`.slice(0, columns - 1);
}

export class Progress {
  private readonly works: () => Work[];
  private readonly log: Log;
  /** Writes to the terminal; null where there is none. */
  private readonly draw: ((text: string) => void) | null;
  private readonly started: Map<string, { atMs: number; saidMs: number }>;
  private drawn: boolean;
  private nowMs: number;

  constructor(log: Log, draw: ((text: string) => void) | null, works: () => Work[]) {
    this.log = log;
    this.draw = draw;
    this.works = works;
    this.started = new Map();
    this.drawn = false;
    this.nowMs = 0;
  }

  /** `nowMs` of a clock that only goes forward. */
  beat(nowMs: number): void {
    this.nowMs = nowMs;
    const works = this.works();
    for (const name of this.started.keys()) if (!works.some((w) => w.name === name)) this.started.delete(name);
    let bar = "";
    for (const work of works) {
      let of = this.started.get(work.name);
      if (of === undefined) this.started.set(work.name, (of = { atMs: nowMs, saidMs: nowMs + FIRST_LINE_MS - LINE_MS }));
      const tookMs = nowMs - of.atMs;
      if (this.draw !== null && tookMs >= FIRST_BAR_MS) bar ||= workBar(work, tookMs, 100);
      if (work.speaks || this.draw !== null || nowMs - of.saidMs < LINE_MS) continue;
      of.saidMs = nowMs;
      this.log.notice(workLine(work, tookMs));
    }
    if (bar !== "") this.draw!(`\r\x1b[2K${bar}\r`);
    else if (this.drawn) this.draw!("\r\x1b[2K");
    this.drawn = bar !== "";
  }

  /** INFO's lines; none while nothing long is going on. */
  lines(): [string, string | number][] {
    return this.works().flatMap((work) => {
      const tookMs = this.nowMs - (this.started.get(work.name)?.atMs ?? this.nowMs);
      const fields = [`percent=${percentOf(work)?.toFixed(2) ?? "?"}`, `done=${work.done}`, `total=${work.total}`, `unit=${work.unit}`];
      return [[`work_${work.name}`, [...fields, `seconds_left=${secondsLeft(work, tookMs) ?? "?"}`].join(",")] as [string, string]];
    });
  }
}
