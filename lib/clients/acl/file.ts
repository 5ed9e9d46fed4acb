/**
 * Users in files: `user` lines of the configuration, and the file that `aclfile` names (ACL LOAD, ACL SAVE). COLD.
 *
 *   redis.conf `user` lines --checkUserLine while it is read--> loadConfigured at the start
 *   aclfile --load--> all users anew, or none and every mistake in one text      ACL SAVE --> the file, replaced whole and durably
 *
 * Texts follow Redis 7.2 acl.c ACLAppendUserForLoading, ACLLoadConfiguredUsers, ACLLoadFromFile, ACLSaveToFile.
 */
import { readFileSync } from "node:fs";
import { strerror } from "../../bytes/errno.ts";
import { systemPath } from "../../bytes/path.ts";
import type { Log } from "../../log/log.ts";
import { replaceFileSync } from "../../os/files.ts";
import type { ClientSettings } from "../settings.ts";
import type { Users } from "../users.ts";
import { cText, hasBlanks } from "./selector.ts";
import { type AclWorld, mergeSelectors, User } from "./user.ts";

const NOTHING_CHANGED = "WARNING: ACL errors detected, no change to the previously active ACL rules was performed";
const MIXED =
  "Configuring Redis with users defined in redis.conf and at the same setting an ACL file path is invalid. This setup " +
  "is very likely to lead to configuration errors and security holes, please define either an ACL file or declare users " +
  "directly in your redis.conf, but not both.";

/** A `user` line of the configuration, without that word: null, or what Redis says of it. `before`: the lines that came earlier. */
export function checkUserLine(words: readonly string[], before: readonly (readonly string[])[], world: AclWorld): string | null {
  const [name, ...rest] = words;
  if (before.some(([earlier]) => earlier === name))
    return inLine("Duplicate user found. A user can only be defined once in config files", name);
  const rules = mergeSelectors(rest);
  if (typeof rules === "number") return inLine("Wrong format", rest[rules]);
  const trial = new User(name, world);
  for (const rule of rules) {
    const failed = trial.set(rule);
    // A module loaded later may bring the command: only the start itself can tell.
    if (failed !== null && !failed.unknownName) return inLine(failed.text, rule);
  }
  return null;
}

function inLine(error: string, rule: string): string {
  return `Error in user declaration '${cText(rule)}': ${error}`;
}

export class AclFile {
  private readonly users: Users;
  private readonly settings: ClientSettings;
  private readonly log: Log;

  constructor(users: Users, settings: ClientSettings, log: Log) {
    this.users = users;
    this.settings = settings;
    this.log = log;
  }

  /** The start: users of the configuration, or of the ACL file. Null, or why there can be no start (the details are logged). */
  begin(configured: readonly (readonly string[])[]): string | null {
    const path = this.settings.aclFile;
    if (path !== "" && configured.length > 0) return MIXED;
    for (const words of configured) {
      const failed = this.configure(words);
      if (failed === null) continue;
      this.log.warning(failed);
      return "Critical error while loading ACLs. Exiting.";
    }
    this.users.refresh();
    const errors = path === "" ? null : this.load();
    return errors === null ? null : `Aborting Redis startup because of ACL errors: ${errors}`;
  }

  private configure([name, ...rest]: readonly string[]): string | null {
    const { all, world } = this.users;
    if (hasBlanks(name)) return "Spaces not allowed in ACL usernames";
    const user = all.get(name) ?? new User(name, world);
    all.set(name, user);
    user.set("reset");
    for (const rule of mergeSelectors(rest) as string[]) {
      const failed = user.set(rule);
      if (failed !== null) return `Error loading ACL rule '${cText(rule)}' for the user named '${name}': ${failed.text}`;
    }
    if (!user.enabled)
      this.log.notice(
        `The user '${name}' is disabled (there is no 'on' modifier in the user description). Make sure this is not a configuration error.`,
      );
    return null;
  }

  /** Reads the file; its users are all there are then. Null, or everything that is wrong with it, and nothing has changed. */
  load(): string | null {
    const path = this.settings.aclFile;
    let text: string;
    try {
      text = readFileSync(systemPath(path), "latin1");
    } catch (error) {
      return `Error loading ACLs, opening file '${path}': ${strerror(error)}`;
    }
    const users = new Map<string, User>();
    let errors = "";
    for (const [i, line] of cText(text).split("\n").entries()) errors += this.readLine(line, i + 1, users);
    if (errors !== "") return errors + NOTHING_CHANGED;
    this.users.replace(users);
    return null;
  }

  /** One line of the file; "" or what is wrong with it. */
  private readLine(raw: string, number: number, users: Map<string, User>): string {
    const path = this.settings.aclFile;
    const line = raw.replace(/^[ \t\r\n]+|[ \t\r\n]+$/g, "");
    if (line === "") return "";
    const [keyword, name, ...rest] = line.split(" ");
    if (keyword !== "user" || name === undefined) return `${path}:${number} should start with user keyword followed by the username. `;
    if (hasBlanks(name)) return `'${path}:${number}: username '${name}' contains invalid characters. `;
    if (users.has(name)) return `WARNING: Duplicate user '${name}' found on line ${number}. `;
    const user = new User(name, this.users.world);
    users.set(name, user);
    const rules = mergeSelectors(rest);
    if (typeof rules === "number") return `${path}:${number}: Unmatched parenthesis in selector definition.`;
    let errors = "";
    let told = false;
    for (const raw of rules) {
      const rule = raw.replace(/^[\t\r\n]+|[\t\r\n]+$/g, "");
      const failed = user.set(rule);
      if (failed === null) continue;
      // What has no name of a command in it may have a password: of those the first one is told, without the rule.
      if (failed.unknownName) errors += `${path}:${number}: Error in applying operation '${rule}': ${failed.text}. `;
      else if (!told) {
        errors += `${path}:${number}: ${failed.text}. `;
        told = true;
      }
    }
    return errors;
  }

  /** Writes all users into the file. Null, or Redis' error text (the reason is in the log). */
  save(): string | null {
    const text = this.users.sorted().map((user) => `user ${user.describe()}\n`);
    const failed = replaceFileSync(this.settings.aclFile, text.join(""));
    if (failed === null) return null;
    this.log.warning(`Writing ACL file for ACL SAVE: ${failed.reason}`);
    return "There was an error trying to save the ACLs. Please check the server logs for more information";
  }
}
