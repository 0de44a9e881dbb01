-- analysis.open_study("outputs/reference").sql(…)
SELECT *
FROM networks
WHERE true
ORDER BY cell;
