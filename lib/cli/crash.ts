/**
 * The last words of a process that dies of a bug: a report in the log, in the form of Redis' (tools and Redis' own tests look for it), with
 * our stack, then the end by the signal itself. Cold. Redis debug.c: sigsegvHandler, printCrashReport, bugReportEnd.
 *
 * A fault inside Bun's own machine code kills the process before any line of ours runs; Bun then prints its own report.
 */
import type { Config } from "../config/config.ts";
import { REDIS_VERSION } from "../config/version.ts";
import type { Log } from "../log/log.ts";
import { endBySignal, signalNumber } from "../os/signals.ts";
import { version } from "./version.ts";

/** A part of the report: "INFO OUTPUT" and what stands below it. */
export interface ReportSection {
  title: string;
  text: string;
}

export interface CrashOptions {
  log: Log;
  config: Config;
  /** What the mode knows: INFO, clients, the command that ran. May itself be broken; then the report goes on without. */
  sections: () => ReportSection[];
  /** Before the end: remove the pid file. */
  last: () => void;
}

/** Signals that a bug or an operator sends and that JavaScript can still see. */
const FATAL: readonly NodeJS.Signals[] = ["SIGABRT", "SIGFPE", "SIGILL", "SIGBUS"];

export class CrashReporter {
  private readonly options: CrashOptions;
  private reporting: boolean;
  /** Handlers that are installed, while `crash-log-enabled` is yes. */
  private readonly handlers: [NodeJS.Signals, () => void][];

  constructor(options: CrashOptions) {
    this.options = options;
    this.reporting = false;
    this.handlers = [];
    process.on("uncaughtException", (e) => this.bug(e));
    process.on("unhandledRejection", (e) => this.bug(e));
    options.config.watch("crash-log-enabled", (c) => (c.bool("crash-log-enabled") ? this.install() : this.remove()));
  }

  /** DEBUG SEGFAULT, and signals from outside: reports and ends this process by the signal. */
  signal(name: NodeJS.Signals): never {
    if (this.options.config.bool("crash-log-enabled")) {
      this.report([`Redis ${REDIS_VERSION} crashed by signal: ${signalNumber(name)}, si_code: 0`], new Error(name).stack ?? "");
    }
    endBySignal(name);
  }

  /** An exception that nobody caught: a bug of ours. Ends the process by SIGABRT as Redis' failed assertions do. */
  bug(error: unknown): never {
    const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    const stack = error instanceof Error ? (error.stack ?? "") : "";
    this.report(["=== ASSERTION FAILED ===", `==> ${text}`], stack);
    if (this.options.log.target.file !== "") process.stderr.write(`${text}\n${stack}\n`);
    endBySignal("SIGABRT");
  }

  private report(lines: readonly string[], stack: string): void {
    // A fault while reporting a fault must not go in circles.
    if (this.reporting) return;
    this.reporting = true;
    const { log, last } = this.options;
    log.raw("\n\n=== REDIS BUG REPORT START: Cut & paste starting from here ===\n");
    for (const line of lines) log.warning(line);
    log.raw(`\n------ STACK TRACE ------\n${stack}\n`);
    const config = { title: "CONFIG DEBUG OUTPUT", text: this.options.config.debugText() };
    for (const { title, text } of [...this.sections(), config]) log.raw(`\n------ ${title} ------\n${text}\n`);
    log.raw(
      `\n=== REDIS BUG REPORT END. Make sure to include from START to END. ===\n\n` +
        `       This is redisha ${version} on Bun ${Bun.version}, ${process.platform} ${process.arch}: report it to redisha, not to Redis.\n\n`,
    );
    last();
  }

  private sections(): ReportSection[] {
    try {
      return this.options.sections();
    } catch (e) {
      return [{ title: "REPORT", text: `could not be completed: ${String(e)}` }];
    }
  }

  private install(): void {
    if (this.handlers.length > 0) return;
    for (const name of FATAL) {
      const handler = (): void => this.signal(name);
      process.on(name, handler);
      this.handlers.push([name, handler]);
    }
  }

  private remove(): void {
    for (const [name, handler] of this.handlers.splice(0)) process.off(name, handler);
  }
}
