/** HAProxy's command line (management guide 3): flags that take the next word, flags in one word, lists of pids. COLD. */

export interface Options {
  files: string[];
  check: boolean;
  daemon: boolean;
  /** -db: stay in the foreground whatever the file says. */
  foreground: boolean;
  quiet: boolean;
  verbose: boolean;
  masterWorker: boolean;
  /** -Ws: tell systemd when ready. */
  notify: boolean;
  pidfile: string;
  maxconn: number;
  /** -sf: these finish softly; -st: these are told to quit. */
  oldPids: number[];
  oldSignal: "SIGUSR1" | "SIGTERM";
  directory: string;
  masterSocket: string;
  warningsAreErrors: boolean;
  /** -cc: only evaluate this. */
  condition: string | null;
  version: "" | "v" | "vv";
  /** What could not be understood: usage is shown. */
  bad: boolean;
}

export function parseOptions(args: readonly string[]): Options {
  const o: Options = {
    files: [],
    check: false,
    daemon: false,
    foreground: false,
    quiet: false,
    verbose: false,
    masterWorker: false,
    notify: false,
    pidfile: "",
    maxconn: 0,
    oldPids: [],
    oldSignal: "SIGUSR1",
    directory: "",
    masterSocket: "",
    warningsAreErrors: false,
    condition: null,
    version: "",
    bad: false,
  };
  for (let i = 0; i < args.length; i++) {
    const a = args[i]!;
    const value = (): string => {
      const v = args[++i];
      if (v === undefined) o.bad = true;
      return v ?? "";
    };
    const pids = (signal: Options["oldSignal"]): void => {
      o.oldSignal = signal;
      while (args[i + 1] !== undefined && /^\d+$/.test(args[i + 1]!)) o.oldPids.push(Number(args[++i]));
    };
    switch (a) {
      case "-f":
        o.files.push(value());
        break;
      case "-c":
        o.check = true;
        break;
      case "-cc":
        o.condition = value();
        break;
      case "-D":
        o.daemon = true;
        break;
      case "-db":
        o.foreground = true;
        break;
      case "-d":
        o.foreground = true;
        break;
      case "-q":
        o.quiet = true;
        break;
      case "-V":
        o.verbose = true;
        break;
      case "-v":
        o.version = "v";
        break;
      case "-vv":
        o.version = "vv";
        break;
      case "-W":
        o.masterWorker = true;
        break;
      case "-Ws":
        o.masterWorker = true;
        o.notify = true;
        break;
      case "-p":
        o.pidfile = value();
        break;
      case "-n":
        o.maxconn = Number(value()) || 0;
        break;
      case "-C":
        o.directory = value();
        break;
      case "-S":
        o.masterSocket = value();
        break;
      case "-x":
      case "-N":
      case "-L":
      case "-m":
        value();
        break;
      case "-sf":
        pids("SIGUSR1");
        break;
      case "-st":
        pids("SIGTERM");
        break;
      case "-dW":
        o.warningsAreErrors = true;
        break;
      case "--":
        o.files.push(...args.slice(i + 1));
        i = args.length;
        break;
      default:
        // -de -dp -dS -dG -dR -dM... -dK... -dD -dr -dV -dL: tuning of the original, without a counterpart here
        if (/^-d([epkSGRLrVDt]|M.*|K.*)$/.test(a)) break;
        // ours: a bare file name
        if (!a.startsWith("-")) o.files.push(a);
        else o.bad = true;
    }
  }
  return o;
}

export const USAGE = `Usage : redisha --proxy [-f <cfgfile|cfgdir>]* [ -vdVD ] [ -n <maxconn> ]
        [ -p <pidfile> ] [ -C <dir> ] [-- <cfgfile>*]
        -v displays version
        -d, -db disable background mode
        -V enters verbose mode (disables quiet mode)
        -D goes daemon ; -C changes to <dir> before loading files.
        -W master-worker mode.
        -Ws master-worker mode with systemd notify support.
        -q quiet mode : don't display messages
        -c check mode : only check config files and exit
        -cc check condition : evaluate a condition and exit
        -n sets the maximum total # of connections
        -p writes the pid to this file
        -dW fails if any warning is emitted
        -sf/-st [pid ]* finishes/terminates old pids.
`;
