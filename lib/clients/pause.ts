/**
 * Pauses: CLIENT PAUSE, FAILOVER, SHUTDOWN, MIGRATE and short loads make clients wait. COLD; dispatch sees two gate bits.
 *
 *   begin(reason, until, actions) --> gates --dispatch refuses--> postpone(client): FLAG_POSTPONED, in line
 *   over, or less strict than before --> everyone in line goes on, in order, and may be stopped again
 *
 * Several reasons may hold at once: their actions add up, each until its own end. Follows Redis 7.2 networking.c pauseActions.
 */
import { clock, readClock } from "../time/clock.ts";
import { FLAG_POSTPONED, type Client, type Queued } from "./client.ts";
import { GATE_PAUSED_ALL, GATE_PAUSED_WRITES } from "./command.ts";
import type { Dispatcher } from "./dispatch.ts";

export const PAUSE_BY_COMMAND = 0;
export const PAUSE_BY_SHUTDOWN = 1;
export const PAUSE_BY_FAILOVER = 2;
export const PAUSE_BY_MIGRATE = 3;
export const PAUSE_BY_LOADING = 4;

/** What is paused. */
export const PAUSE_CLIENT_ALL = 1;
export const PAUSE_CLIENT_WRITE = 2;
export const PAUSE_EXPIRE = 4;
export const PAUSE_EVICT = 8;
export const PAUSE_REPLICA = 16;
export const ACTIONS_ALL = PAUSE_CLIENT_ALL | PAUSE_EXPIRE | PAUSE_EVICT | PAUSE_REPLICA;
/** Writes stop, and so does everything else that would change the data set or the stream. */
export const ACTIONS_WRITE = PAUSE_CLIENT_WRITE | PAUSE_EXPIRE | PAUSE_EVICT | PAUSE_REPLICA;

interface Postponed {
  client: Client;
  /** A command to be run again after a block; null: its bytes are with ingest. */
  again: Queued | null;
}

export class Pause {
  private readonly dispatcher: Dispatcher;
  private readonly resume: (client: Client) => void;
  private readonly reasons: { untilMs: number; actions: number }[];
  /** What is paused now: PAUSE_ bits. */
  actions: number;
  /** Called when what is paused has changed. */
  onChange: (() => void) | null;
  private line: Postponed[];
  private timer: ReturnType<typeof setTimeout> | null;

  /** `resume` has a client's kept bytes executed soon. */
  constructor(dispatcher: Dispatcher, resume: (client: Client) => void) {
    this.dispatcher = dispatcher;
    this.resume = resume;
    this.reasons = [0, 1, 2, 3, 4].map(() => ({ untilMs: 0, actions: 0 }));
    this.actions = 0;
    this.onChange = null;
    this.line = [];
    this.timer = null;
  }

  /** True while one of the PAUSE_ bits holds. */
  is(bits: number): boolean {
    return (this.actions & bits) !== 0;
  }
  /** Clients held by a pause: INFO counts them as blocked. */
  get count(): number {
    return this.line.length;
  }
  /** When a reason ends; 0: it does not hold. */
  untilOf(reason: number): number {
    return this.reasons[reason].untilMs;
  }

  /** CLIENT PAUSE: a stricter pause by command is not loosened by a weaker one. */
  byCommand(untilMs: number, all: boolean): void {
    const now = this.reasons[PAUSE_BY_COMMAND].actions;
    this.begin(PAUSE_BY_COMMAND, untilMs, all || now & PAUSE_CLIENT_ALL ? ACTIONS_ALL : ACTIONS_WRITE);
  }

  /** Pauses until `untilMs` of wall time, or longer when this reason already holds longer. Infinity: until `end`. */
  begin(reason: number, untilMs: number, actions: number): void {
    const r = this.reasons[reason];
    r.actions = actions;
    if (r.untilMs < untilMs) r.untilMs = untilMs;
    this.update();
  }

  end(reason: number): void {
    this.reasons[reason].untilMs = 0;
    this.reasons[reason].actions = 0;
    this.update();
  }

  /** What holds now; clients go on when it is less than before. */
  private update(): void {
    const before = this.actions;
    let actions = 0;
    let next = Infinity;
    for (const r of this.reasons) {
      if (r.untilMs > clock.nowMs) {
        actions |= r.actions;
        next = Math.min(next, r.untilMs);
      } else {
        r.actions = 0;
        r.untilMs = 0;
      }
    }
    this.actions = actions;
    const d = this.dispatcher;
    d.gates &= ~(GATE_PAUSED_ALL | GATE_PAUSED_WRITES);
    if (actions & PAUSE_CLIENT_ALL) d.gates |= GATE_PAUSED_ALL;
    if (actions & PAUSE_CLIENT_WRITE) d.gates |= GATE_PAUSED_WRITES;
    this.arm(next);
    if (actions !== before) this.onChange?.();
    if (strictness(actions) < strictness(before)) this.release();
  }

  private arm(untilMs: number): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
    if (untilMs === Infinity) return;
    const wait = Math.min(Math.max(1, untilMs - clock.nowMs), 0x7fffffff);
    this.timer = setTimeout(() => {
      this.timer = null;
      this.tick();
    }, wait);
  }

  /** The time may be over. The timer calls it; cron may, too. */
  tick(): void {
    if (this.actions === 0) return;
    readClock();
    this.update();
  }

  /** Keeps a client in line (dispatch's Host.postpone). */
  postpone(client: Client, again: Queued | null): void {
    client.flags |= FLAG_POSTPONED;
    this.line.push({ client, again });
  }

  private release(): void {
    const line = this.line;
    this.line = [];
    for (const { client, again } of line) {
      client.flags &= ~FLAG_POSTPONED;
      client.again = again;
      this.resume(client);
    }
  }

  /** The client is gone. */
  forget(client: Client): void {
    if (client.flags & FLAG_POSTPONED) this.line = this.line.filter((p) => p.client !== client);
  }
}

function strictness(actions: number): number {
  return actions & PAUSE_CLIENT_ALL ? 2 : actions & PAUSE_CLIENT_WRITE ? 1 : 0;
}
