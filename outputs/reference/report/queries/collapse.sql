-- analysis.open_study("outputs/reference").sql(…)
SELECT cell, activation, init, depth, lr, seed, step, layer, units, z_collapse
FROM layers JOIN networks USING (cell)
WHERE start = 1 AND step = 0
ORDER BY cell, step, layer;
