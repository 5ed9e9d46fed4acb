/**
 * What a redis.conf or sentinel.conf may ask for and this program does not do. Cold.
 *
 * Where going on without it would open a door or hide data, the start is refused: better none than another one than was meant. Where it only
 * keeps less than was asked for, the log says so.
 */
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Config } from "../config/config.ts";

/** Why there can be no start with this configuration, in the words of the start-up log; null when there can. */
export function refusal(config: Config): string | null {
  if (config.modules.length > 0) {
    return `Can't load module from ${config.modules[0]![0]}: server aborting. redisha cannot run Redis modules: take out the loadmodule line.`;
  }
  if (config.moduleSettings.length > 0) {
    const [name] = config.moduleSettings[0]!;
    return `Module Configuration detected without loadmodule directive or no ApplyConfig call: aborting. ('${name}')`;
  }
  if (config.bool("cluster-enabled") && !config.sentinel)
    return "cluster-enabled yes: redisha does not do Redis Cluster. It keeps one data set available with Sentinels and its proxy.";
  if (config.number("tls-port") !== 0) return `tls-port ${config.number("tls-port")}: this version of redisha does not speak TLS.`;
  if (config.text("aclfile") !== "") return "aclfile: this version of redisha knows the default user alone; its password is requirepass.";
  const user = config.users.find((words) => !isPlainDefault(words, config.text("requirepass")));
  if (user !== undefined)
    return `user ${user[0]}: this version of redisha knows the default user alone, who may do everything; its password is requirepass.`;
  return config.sentinel ? null : hiddenData(config);
}

/** A data set in append only files that nobody would read: a start without it would look empty, and save that over the RDB file. */
function hiddenData(config: Config): string | null {
  if (!config.bool("appendonly")) return null;
  const name = config.text("appendfilename");
  const places = [join(config.text("appenddirname"), `${name}.manifest`), name];
  const found = places.map((p) => join(config.special("dir"), p)).find((p) => existsSync(p));
  if (found === undefined) return null;
  return `appendonly yes: there is data in ${found}, but this version of redisha reads no append only files. Have it saved as RDB first (BGSAVE), then set appendonly no.`;
}

/** The line that CONFIG REWRITE leaves in every file: the default user, with every right and the password that requirepass gives. */
function isPlainDefault(words: readonly string[], password: string): boolean {
  const [name, ...rules] = words;
  if (name !== "default") return false;
  const usual = ["on", "sanitize-payload", "~*", "&*", "+@all", "allkeys", "allchannels", "allcommands"];
  const open = ["nopass"];
  const secret = [`>${password}`, `#${createHash("sha256").update(Buffer.from(password, "latin1")).digest("hex")}`];
  return rules.every((rule) => usual.includes(rule) || (password === "" ? open : secret).includes(rule));
}

/** Tells the log what is taken and does not have the effect that it promises, now and when CONFIG SET asks for it; TLS is refused there too. */
export function tellShortfalls(config: Config, warn: (text: string) => void): void {
  const appendonly = (): null => {
    if (!config.sentinel && config.bool("appendonly"))
      warn(
        "WARNING: appendonly is on, but this version of redisha writes no append only file: what comes after the last RDB save is lost in a crash.",
      );
    return null;
  };
  appendonly();
  config.hook("appendonly", appendonly);
  config.hook("tls-port", () => (config.number("tls-port") === 0 ? null : "this version of redisha does not speak TLS"));
}
