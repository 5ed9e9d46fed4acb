/**
 * This program itself: how it was called, and how to call it again (daemons, the stack's parts, helper processes). Cold.
 * The compiled file sees ["bun", "/$bunfs/root/NAME", ...arguments]; run from source it is ["bun", "main.ts", ...arguments].
 */

/** True in the compiled file, false under `bun main.ts`. */
export const compiled = Bun.main.startsWith("/$bunfs/") || Bun.main.startsWith("B:\\~BUN");

export interface OwnCommandLine {
  argv0: string;
  args: string[];
}

export function ownCommandLine(): OwnCommandLine {
  // Run from source, argv[0] is Bun's own; the program is then called by the name of its file, without the suffix.
  const argv0 = compiled ? process.argv0 : Bun.main.replace(/\.[jt]s$/, "").replace(/\/main$/, "/redisha");
  return { argv0, args: process.argv.slice(2) };
}

/** The command that starts this program; arguments follow. */
export function ownCommand(): string[] {
  return compiled ? [process.execPath] : [process.execPath, Bun.main];
}

/** What `Bun.spawn` is told so that the child has these descriptors under their own numbers, behind its three standard ones. */
export function inherited(fds: readonly number[]): (number | "ignore")[] {
  const last = Math.max(2, ...fds);
  return Array.from({ length: last - 2 }, (_, i) => (fds.includes(i + 3) ? i + 3 : "ignore"));
}

/** The environment for a copy of this process: without the variables that would change how Bun runs it. */
export function cleanEnvironment(more: Readonly<Record<string, string>> = {}): Record<string, string> {
  const env: Record<string, string> = {};
  for (const [name, value] of Object.entries(process.env)) {
    if (value !== undefined && name !== "BUN_OPTIONS" && name !== "BUN_BE_BUN" && name !== "NODE_CHANNEL_FD") env[name] = value;
  }
  return { ...env, ...more };
}
