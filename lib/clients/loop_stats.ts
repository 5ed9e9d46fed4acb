/**
 * What the event loop's turns cost: INFO stats eventloop_* and INFO debug. HOT, but it reads no clock of its own: a turn begins with the
 * clock read of its event and ends with that of its last command.
 */
export class LoopStats {
  /** Turns that had something to do. */
  cycles: number;
  /** Time in turns, in the commands among it, and in cron, in microseconds. */
  micros: number;
  commandMicros: number;
  cronMicros: number;
  /** Time spent writing the AOF. */
  aofMicros: number;
  longestMicros: number;
  /** Most commands in one turn. */
  mostCommands: number;
  /** Chunks read from clients, and writes to them. */
  reads: number;
  writes: number;

  constructor() {
    this.cycles = 0;
    this.micros = 0;
    this.commandMicros = 0;
    this.cronMicros = 0;
    this.aofMicros = 0;
    this.longestMicros = 0;
    this.mostCommands = 0;
    this.reads = 0;
    this.writes = 0;
  }

  /** A turn of `micros` with `commands` commands is over. */
  turn(micros: number, commands: number): void {
    this.cycles++;
    this.micros += micros;
    if (micros > this.longestMicros) this.longestMicros = micros;
    if (commands > this.mostCommands) this.mostCommands = commands;
  }

  /** CONFIG RESETSTAT. */
  reset(): void {
    this.cycles = 0;
    this.micros = this.commandMicros = this.cronMicros = this.aofMicros = 0;
    this.longestMicros = this.mostCommands = 0;
    this.reads = this.writes = 0;
  }
}
