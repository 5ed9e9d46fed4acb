/** The events of Sentinels with their times, heard by PSUBSCRIBE, for the benchmarks of failovers. */
import type { Program } from "./programs.ts";
import { Wire } from "./wire.ts";

/** Hears every event that Sentinels publish, and keeps when. */
export class Listener {
  readonly heard: { name: string; at: number; sentinel: number }[];
  private readonly wires: Wire[];
  constructor() {
    this.heard = [];
    this.wires = [];
  }
  async join(sentinels: Program[]): Promise<void> {
    for (const [i, s] of sentinels.entries()) {
      const wire = await Wire.connect(s.port);
      this.wires.push(wire);
      await wire.do("PSUBSCRIBE", "*");
      void this.listen(wire, i);
    }
  }
  private async listen(wire: Wire, sentinel: number): Promise<void> {
    for (;;) {
      const message = await wire.next();
      if (message === "closed") return;
      const name = /^\["pmessage", "\*", "([^"]+)"/.exec(message)?.[1];
      if (name !== undefined) this.heard.push({ name, at: performance.now(), sentinel });
    }
  }
  /** How long after `from` (performance.now, ms) each Sentinel published this event for the first time; those that have not are left out. */
  since(name: string, from: number): number[] {
    const first = new Map<number, number>();
    for (const h of this.heard) if (h.name === name && h.at >= from && !first.has(h.sentinel)) first.set(h.sentinel, h.at - from);
    return [...first.values()];
  }
  close(): void {
    for (const w of this.wires) w.close();
  }
}
