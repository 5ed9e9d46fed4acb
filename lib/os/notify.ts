/**
 * Telling a supervisor how far we are: systemd's notify socket and upstart's stop signal. Cold. Redis server.c: redisIsSupervised.
 * systemd is told by one datagram; without foreign calls by its own program `systemd-notify` (the unit then needs NotifyAccess=all).
 */
import { ffiProblem, sendDatagram } from "./ffi.ts";

/** Sends lines such as "READY=1\n" to systemd; false when it does not wait for them ($NOTIFY_SOCKET is not set) or cannot be reached. */
export function notifySystemd(text: string): boolean {
  const path = process.env["NOTIFY_SOCKET"];
  if (path === undefined || path === "") return false;
  if (ffiProblem() === null) return sendDatagram(path, Buffer.from(text, "latin1"));
  const program = Bun.which("systemd-notify");
  if (program === null) return false;
  const words = text.split("\n").filter((line) => line !== "");
  return Bun.spawnSync([program, `--pid=${process.pid}`, ...words], { stdout: "ignore", stderr: "ignore" }).success;
}

/** Upstart waits until its job stops itself, then lets it go on. */
export function stopForUpstart(): void {
  process.kill(process.pid, "SIGSTOP");
  delete process.env["UPSTART_JOB"];
}
