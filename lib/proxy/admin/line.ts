/** Words of a Runtime API line: separated by blanks, a backslash takes the next character as it is, `;` ends a command. Pure. */

/** The commands of a line. `payload`: it ends in `<<`, and lines up to an empty one follow. */
export function splitLine(text: string): { commands: string[][]; payload: boolean } {
  const commands: string[][] = [];
  let words: string[] = [];
  let word = "";
  let inWord = false;
  const endWord = (): void => {
    if (inWord) words.push(word);
    word = "";
    inWord = false;
  };
  for (let i = 0; i < text.length; i++) {
    const c = text[i]!;
    if (c === "\\" && i + 1 < text.length) {
      word += text[++i];
      inWord = true;
    } else if (c === " " || c === "\t" || c === "\r") endWord();
    else if (c === ";") {
      endWord();
      commands.push(words);
      words = [];
    } else {
      word += c;
      inWord = true;
    }
  }
  endWord();
  const payload = words.at(-1) === "<<";
  if (payload) words.pop();
  commands.push(words);
  return { commands: commands.filter((w) => w.length > 0), payload };
}
