/** What a server's agent answers (HAProxy configuration 5.2 "agent-check"): one line of words, read. Pure. */
export interface AgentReply {
  /** up, down, stopped or fail: the service's own state; null: not said. */
  health: "up" | "down" | "stopped" | "fail" | null;
  admin: "ready" | "drain" | "maint" | null;
  /** Of the configured weight; null: not said. */
  weightPercent: number | null;
  maxconn: number | null;
  /** What follows a `#`. */
  description: string;
  /** The word that said the service's state, as it was written. */
  word: string;
  /** The first word that could not be understood; "" when there is none. */
  error: string;
}

/** What is shown of a reply: the word about the service with its reason, or what could not be understood. */
export function agentInfo(r: AgentReply): string {
  const why = r.error || r.description;
  if (r.health !== null) return `via agent : ${r.word}${why === "" ? "" : ` (${why})`}`;
  return r.error === "" ? "" : `agent reports an error : ${r.error}`;
}

/** Words are separated by blanks, tabs or commas; a `#` begins a description; case does not count. */
export function readAgentReply(line: string): AgentReply {
  const reply: AgentReply = { health: null, admin: null, weightPercent: null, maxconn: null, description: "", word: "", error: "" };
  const hash = line.indexOf("#");
  if (hash >= 0) reply.description = line.slice(hash + 1).trim();
  for (const written of (hash < 0 ? line : line.slice(0, hash)).split(/[ \t,]+/)) {
    const word = written.toLowerCase();
    const percent = /^(\d+)%$/.exec(word);
    const maxconn = /^maxconn:(\d+)$/.exec(word);
    if (word === "") continue;
    if (percent !== null) reply.weightPercent = Number(percent[1]);
    else if (maxconn !== null) reply.maxconn = Number(maxconn[1]);
    else if (word === "up" || word === "down" || word === "stopped" || word === "fail") {
      reply.health = word;
      reply.word = written;
    } else if (word === "ready" || word === "drain" || word === "maint") reply.admin = word;
    else if (reply.error === "") reply.error = written;
  }
  return reply;
}
