/** The last minutes of a few figures, for the page's sparklines: one sample every two seconds, only while a stats page is configured. COLD. */
import type { Engine } from "../engine.ts";
import { nowMs, type Timed } from "../timers.ts";
import { objects, type StatObject } from "./columns.ts";

export const SAMPLES_MAX = 90;
export const PERIOD_MS = 2000;

export interface Samples {
  /** Sessions at the time of each sample. */
  active: number[];
  /** Bytes a second, both directions, since the sample before. */
  bytes: number[];
}

export class History implements Timed {
  private readonly engine: Engine;
  private readonly samples: Map<StatObject, Samples & { before: number; at: number }>;
  deadlineMs: number;
  heapAt: number;
  constructor(engine: Engine) {
    this.engine = engine;
    this.samples = new Map();
    this.deadlineMs = 0;
    this.heapAt = -1;
  }
  start(): void {
    this.expire(nowMs());
  }
  of(o: StatObject): Samples {
    return this.samples.get(o) ?? { active: [], bytes: [] };
  }
  expire(now: number): void {
    for (const o of objects(this.engine)) {
      const total = o.bytesIn + o.bytesOut;
      let s = this.samples.get(o);
      if (s === undefined) {
        s = { active: [], bytes: [], before: total, at: now - PERIOD_MS };
        this.samples.set(o, s);
      }
      s.active.push(o.active);
      s.bytes.push(Math.max(0, ((total - s.before) * 1000) / Math.max(1, now - s.at)));
      s.before = total;
      s.at = now;
      if (s.active.length > SAMPLES_MAX) {
        s.active.shift();
        s.bytes.shift();
      }
    }
    this.engine.timers.set(this, now + PERIOD_MS);
  }
}
