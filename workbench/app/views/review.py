"""dev"""
CHROME = """<style>
[data-testid="stMainBlockContainer"] { padding: 0 1.25rem; max-width: none; }
[data-testid="stMain"] { overflow: hidden; }
[data-testid="stHeader"] { height: 2.75rem; min-height: 0; background: transparent; pointer-events: none; }
[data-testid="stHeader"] button { pointer-events: auto; }
[data-testid="stToolbarActions"], [data-testid="stMainMenu"], [data-testid="stStatusWidget"], [data-testid="stAppDeployButton"] { display: none; }
@media (max-width: 760px) { [data-testid="stMainBlockContainer"] { padding: 0 0.6rem; } }
</style>"""
