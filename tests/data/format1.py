"""Makes format1.henderson and format1.json, a saved fit and what it says. Run once, when format 1 was finished."""

import json
from pathlib import Path

import henderson as hd

HERE = Path(__file__).parent
FORMULA = "weight ~ scale(Lsize) + poly(Lsize, 2):sex + sex + Treatment + (1 | Litter) + (1 | Litter:sex)"

if __name__ == "__main__":
    ratpup = hd.datasets.load_ratpup()
    fit = hd.lmer(FORMULA, ratpup, contrasts={"Treatment": "sum"})
    fit.save(HERE / "format1.henderson")
    new = ratpup.iloc[[0, 100, 321]][["Lsize", "sex", "Treatment", "Litter"]].astype(
        {"sex": str, "Treatment": str, "Litter": ratpup["Litter"].cat.categories.dtype}
    )
    found = {
        "summary": str(fit.summary()),
        "new": new.to_dict("list"),
        "predictions": fit.predict(new).tolist(),
        "means": fit.emmeans("sex").to_frame()["estimate"].tolist(),
    }
    (HERE / "format1.json").write_text(json.dumps(found, indent=1) + "\n")
