/** Counters of the server mode that INFO and cron share, and the sampled rates. Cold but for the plain increments. */

const SAMPLES = 16;

/** A rate over the last 16 samples (Redis trackInstantaneousMetric): fed ten times a second with a growing total. */
export class Rate {
  private last: number;
  private lastMs: number;
  private readonly samples: Float64Array;
  private at: number;

  constructor() {
    this.last = 0;
    this.lastMs = 0;
    this.samples = new Float64Array(SAMPLES);
    this.at = 0;
  }

  sample(total: number, nowMs: number): void {
    const ms = nowMs - this.lastMs;
    if (this.lastMs > 0 && ms > 0 && total >= this.last) {
      this.samples[this.at] = ((total - this.last) * 1000) / ms;
      this.at = (this.at + 1) % SAMPLES;
    }
    this.last = total;
    this.lastMs = nowMs;
  }

  /** Forgets all samples. */
  reset(): void {
    this.last = this.lastMs = this.at = 0;
    this.samples.fill(0);
  }

  get perSecond(): number {
    let sum = 0;
    for (const s of this.samples) sum += s;
    return Math.max(0, sum / SAMPLES);
  }
}

export class Stats {
  startMs: number;
  replInput: number;
  replOutput: number;
  unexpectedErrors: number;
  syncFull: number;
  syncPartialOk: number;
  syncPartialErr: number;
  peakMemory: number;
  dumpPayloadSanitizations: number;
  /** Snapshots begun: INFO total_forks, where Redis counts its children. */
  snapshots: number;
  readonly ops: Rate;
  readonly input: Rate;
  readonly output: Rate;
  readonly inputRepl: Rate;
  readonly outputRepl: Rate;
  /** The event loop's turns a second, and how long a turn takes in the mean (a rate by turns, not by time). */
  readonly cycles: Rate;
  readonly turns: Rate;

  constructor(nowMs: number) {
    this.startMs = nowMs;
    this.replInput = 0;
    this.replOutput = 0;
    this.unexpectedErrors = 0;
    this.syncFull = 0;
    this.syncPartialOk = 0;
    this.syncPartialErr = 0;
    this.peakMemory = 0;
    this.dumpPayloadSanitizations = 0;
    this.snapshots = 0;
    this.ops = new Rate();
    this.input = new Rate();
    this.output = new Rate();
    this.inputRepl = new Rate();
    this.outputRepl = new Rate();
    this.cycles = new Rate();
    this.turns = new Rate();
  }

  /** CONFIG RESETSTAT. */
  reset(): void {
    this.replInput = this.replOutput = 0;
    this.unexpectedErrors = 0;
    this.syncFull = this.syncPartialOk = this.syncPartialErr = 0;
    this.dumpPayloadSanitizations = 0;
    this.snapshots = 0;
    for (const rate of [this.ops, this.input, this.output, this.inputRepl, this.outputRepl, this.cycles, this.turns]) rate.reset();
  }
}
