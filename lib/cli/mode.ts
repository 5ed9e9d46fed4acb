/**
 * Which of its programs this process is: chosen by the name it was called with and by its first arguments. Pure, cold, imports nothing, so
 * that `--version` costs nothing.
 *
 *     argv[0] redis-server | redis-sentinel | redis-cli | haproxy   behaves as that program: links to redisha replace it
 *     --sentinel anywhere                                Sentinel, as Redis has it
 *     --proxy, --stack, ... as the first argument        redisha's own
 *     else                                               server
 */

export type Mode = "server" | "sentinel" | "proxy" | "stack" | "cli" | "status" | "check" | "doctor" | "help" | "version" | "save-helper";

/** The program whose manners are asked for: texts of --help and --version, exit codes. */
export type Guise = "redisha" | "redis-server" | "haproxy";

export interface Invocation {
  mode: Mode;
  guise: Guise;
  /** As the caller named the program: "/usr/bin/redis-server". Shown in ps and kept by daemons. */
  argv0: string;
  /** Everything behind the program's name; redisha's own mode word (--proxy, --stack, ...) is taken off, --sentinel stays. */
  args: readonly string[];
}

const OWN_MODES: Readonly<Record<string, Mode>> = {
  "--proxy": "proxy",
  "--stack": "stack",
  "--cli": "cli",
  "--status": "status",
  "--check": "check",
  "--doctor": "doctor",
  "--save-helper": "save-helper",
};

/** `argv0` and `args` as the process got them. Redis server.c: checkForSentinelMode. */
export function selectMode(argv0: string, args: readonly string[]): Invocation {
  const name = argv0.slice(argv0.lastIndexOf("/") + 1);
  const first = args[0] ?? "";
  if (name.includes("haproxy")) {
    const mode = first === "-v" || first === "-vv" ? "version" : "proxy";
    return { mode, guise: "haproxy", argv0, args };
  }
  if (/(redis|valkey)-cli/.test(name)) return { mode: "cli", guise: "redisha", argv0, args };
  const guise = /redis-(server|sentinel)|valkey-(server|sentinel)/.test(name) ? "redis-server" : "redisha";
  if (first === "-v" || first === "--version") return { mode: "version", guise, argv0, args };
  if (first === "-h" || first === "--help") return { mode: "help", guise, argv0, args };
  const own = guise === "redisha" ? OWN_MODES[first] : undefined;
  if (own !== undefined) {
    if (own === "proxy" && (args[1] === "-v" || args[1] === "-vv"))
      return { mode: "version", guise: "haproxy", argv0, args: args.slice(1) };
    return { mode: own, guise, argv0, args: args.slice(1) };
  }
  // Our own order, the file behind the word; Redis' reader wants it first. Under the originals' names it stays what it is there, an error.
  if (guise === "redisha" && first === "--sentinel" && args[1] !== undefined && !args[1].startsWith("-"))
    return { mode: "sentinel", guise, argv0, args: [args[1], "--sentinel", ...args.slice(2)] };
  const sentinel = /(redis|valkey)-sentinel/.test(name) || args.includes("--sentinel");
  return { mode: sentinel ? "sentinel" : "server", guise, argv0, args };
}
