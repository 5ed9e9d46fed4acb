/** The directives about users, kept equal in the clients' layer; server and Sentinel alike. COLD. */
import type { Config } from "../../config/config.ts";
import { rowTable, type TableMode } from "../../commands/table/index.ts";
import type { Service } from "../service.ts";
import { checkUserLine } from "./file.ts";
import { KnownCommands } from "./selector.ts";

/** Follows acl-pubsub-default, acllog-max-len, aclfile and requirepass from now on. */
export function followAclConfig(service: Service, config: Config): void {
  const { settings, users } = service;
  config.watch("acl-pubsub-default", (c) => {
    users.world.allChannelsByDefault = c.choice("acl-pubsub-default") === "allchannels";
  });
  config.watch("acllog-max-len", (c) => void (settings.aclLogMaxLength = c.number("acllog-max-len")));
  config.watch("aclfile", (c) => void (settings.aclFile = c.text("aclfile")));
  config.watch("requirepass", (c) => users.setDefaultPassword(c.text("requirepass")));
}

/** Looks at `user` lines while a configuration is read: Redis' error text, or null. */
export function userLineReader(mode: TableMode): (words: readonly string[]) => string | null {
  const seen: (readonly string[])[] = [];
  return (words) => {
    const error = checkUserLine(words, seen, { commands: new KnownCommands(rowTable(mode).all), allChannelsByDefault: false });
    seen.push(words);
    return error;
  };
}
