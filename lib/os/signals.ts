/** Signals: handlers by name, and ending the process by one. Cold. */
import { constants } from "node:os";
import { dieBySignal } from "./ffi.ts";

/** Calls `fn` whenever the signal comes. Gives the function that takes the handler away. */
export function onSignal(name: NodeJS.Signals, fn: (name: NodeJS.Signals) => void): () => void {
  const handler = (): void => fn(name);
  process.on(name, handler);
  return () => void process.off(name, handler);
}

/** Has the signals do nothing: HUP when the terminal goes, PIPE when a reader goes. */
export function ignoreSignals(...names: NodeJS.Signals[]): void {
  for (const name of names) process.on(name, () => undefined);
}

/** The number of a signal: 11 for SIGSEGV. */
export function signalNumber(name: NodeJS.Signals): number {
  return constants.signals[name];
}

/** Ends this process by the signal, so that whoever waits for it sees that; without foreign calls by SIGKILL. Does not come back. */
export function endBySignal(name: NodeJS.Signals): never {
  dieBySignal(signalNumber(name));
  process.kill(process.pid, "SIGKILL");
  throw new Error("unreachable");
}
