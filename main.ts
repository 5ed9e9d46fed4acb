/**
 * redisha: one executable that is a Redis server, a Sentinel or a proxy.
 * Only argv is read here; each mode is imported when it is the one asked for, so that `--version` costs no imports.
 */
import { selectMode } from "./lib/cli/mode.ts";
import { ownCommandLine } from "./lib/cli/self.ts";

const { argv0, args } = ownCommandLine();
const invocation = selectMode(argv0, args);
switch (invocation.mode) {
  case "version":
    (await import("./lib/cli/version.ts")).printVersion(invocation);
    break;
  case "help":
    await (await import("./lib/cli/help.ts")).printHelp(invocation);
    break;
  default:
    console.error(`redisha: --${invocation.mode} is not part of this build`);
    process.exitCode = 2;
}
