-- analysis.open_study("outputs/reference").sql(…)
SELECT cell, activation, init, depth, lr, seed, step, layer, units, z_p01, z_p05, z_p25, z_p50, z_p75, z_p95, z_p99
FROM layers JOIN networks USING (cell)
WHERE start = 1 AND depth = 32 AND step = 0
ORDER BY cell, step, layer;
