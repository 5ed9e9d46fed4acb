/** A repeatable source of whole numbers in [0, n), for tests that play random commands: the seed in the test's name finds a failure again. */
export function random(seed: number): (n: number) => number {
  let x = seed;
  return (n) => {
    x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
    return Math.floor((x / 4294967296) * n);
  };
}
