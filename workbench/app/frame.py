"""What surrounds every research page: room, readable greys, and charts that say what they show."""

import streamlit as st

# Streamlit leaves 6rem above a page and paints captions and slider values too pale to read (WCAG AA
# asks for 4.5:1); here they take the colour of the text around them.
_STYLE = """<style>
[data-testid="stMainBlockContainer"] { padding: 4.25rem 2.5rem 3rem; }
/* Tab stops by the dozen: a link at every heading, seven buttons on every chart. The picture's
   download stays; a chart is zoomed by dragging, and a double click resets it. */
[data-testid="stHeaderActionElements"],
.modebar-btn:not([data-title^="Download"]) { display: none; }
[data-testid="stMain"] h1 { font-size: 2rem; padding: 0.25rem 0 0.5rem; }
[data-testid="stMain"] h2 { font-size: 1.4rem; padding: 1rem 0 0.25rem; }
[data-testid="stMain"] h3 { font-size: 1.15rem; padding: 0.5rem 0 0.25rem; }
[data-testid="stCaptionContainer"], [data-testid="stCaptionContainer"] p {
  color: inherit; opacity: 1;
}
[data-testid="stCaptionContainer"] { max-width: 52rem; }
[data-testid="stMain"] [data-testid="stMarkdownContainer"] > p { max-width: 66rem; }
[data-testid="stSliderThumbValue"], [data-testid="stSlider"] output,
[data-testid="stSlider"] [data-orientation] p { color: inherit; }
a.handed, a.handed:visited {
  display: inline-block; padding: 0.5rem 0.9rem; border: 1px solid currentColor;
  border-radius: 0.5rem; color: inherit; text-decoration: none; font-weight: 600;
}
a.handed:hover { text-decoration: underline; }
a.handed:focus-visible { outline: 2px solid currentColor; outline-offset: 2px; }
/* What Streamlit writes there could be read as formulas; the button under the table is ours. */
[data-testid="stElementToolbar"] button[aria-label="Download as CSV"] { display: none; }
@media (max-width: 760px) {
  [data-testid="stMainBlockContainer"] { padding: 4rem 1rem 2rem; }
}
</style>"""

# A chart is drawings to a screen reader. The sentence under it says what it shows, so it is the
# chart's name too; Plotly draws late and again, so the page is watched.
_NAME_CHARTS = """export default function () {
  const name = () => {
    for (const chart of document.querySelectorAll("[data-testid=stPlotlyChart]")) {
      const below = [...document.querySelectorAll("[data-testid=stCaptionContainer]")].find(
        (one) => chart.compareDocumentPosition(one) & Node.DOCUMENT_POSITION_FOLLOWING
      );
      const said = below ? below.textContent.trim() : "Chart";
      if (chart.getAttribute("aria-label") === said) continue;
      chart.setAttribute("role", "figure");
      chart.setAttribute("aria-label", said);
    }
  };
  name();
  const main = document.querySelector("[data-testid=stMain]") || document.body;
  const watch = new MutationObserver(name);
  watch.observe(main, { childList: true, subtree: true });
  return () => watch.disconnect();
}"""


def dress() -> None:
    """Style the page and have its charts named; once per run, before the page."""
    st.html(_STYLE)
    mount = st.components.v2.component("workbench_name_charts", js=_NAME_CHARTS)
    mount(key="name-charts")
