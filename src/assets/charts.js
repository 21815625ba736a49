// What the charts of the live page and of a report have in common.
const Charts = (() => {
  "use strict";

  // Every text and line meets AA on its ground. Lines of the same chart differ in their dashes too, since no eight colours
  // can be told apart by everybody.
  const PALETTES = {
    light: {
      lines: ["#5b6770", "#0b6fb3", "#0f766e", "#8a5300", "#b3201f", "#7a3ca8", "#182127", "#667700"],
      layers: ["#8fc1e3", "#0b6fb3", "#c2410c", "#39444c"],
    },
    dark: {
      lines: ["#a3b1bb", "#6fbdf5", "#4fd1c1", "#f0b95a", "#ff8f87", "#d3a3f5", "#f4f7f9", "#b5d334"],
      layers: ["#2f6a94", "#6fbdf5", "#ff9d5c", "#d5dde2"],
    },
  };
  const DASHES = [[2, 3], [8, 3], [], [8, 3, 2, 3], [], [4, 3], [14, 4], [12, 3, 2, 3, 2, 3]];
  // Lines that lie on each other stay visible: those drawn first are wider.
  const LAYER_WIDTHS = [7, 3.5, 1.5, 1.5];

  const dark = matchMedia("(prefers-color-scheme: dark)");
  let palette = PALETTES.light;
  /** Takes the colours of the present scheme; on paper the light ones. */
  function usePalette({ printed = false } = {}) {
    palette = PALETTES[dark.matches && !printed ? "dark" : "light"];
  }
  usePalette();

  /** Colours by place: of lines beside each other, and of lines on each other. They follow the scheme. */
  const line = (at) => () => palette.lines[at % palette.lines.length];
  const layer = (at) => () => palette.layers[at];

  /** The lines of latencies (as the program tells of them), by their places in its table. */
  const latencyLines = (latencies) =>
    latencies.map(({ name, label, from, to, of_windows: joined, headline }, at) => ({
      key: name,
      label,
      about: `${from} → ${to}${headline ? ": the headline" : ""}`,
      colour: line(at),
      width: headline ? 2.5 : 1.8,
      dash: DASHES[at % DASHES.length],
      joined,
    }));

  const onEachOther = (...lines) => lines.map((each, at) => ({ colour: layer(at), width: LAYER_WIDTHS[at], dash: [], ...each }));

  const RATE_LINES = onEachOther(
    { key: "produced", label: "produced" },
    { key: "acknowledged", label: "acknowledged" },
    { key: "consumed", label: "consumed" },
    { key: "target", label: "target", dash: [7, 5] },
  );

  return { RATE_LINES, dark, latencyLines, layer, usePalette };
})();
